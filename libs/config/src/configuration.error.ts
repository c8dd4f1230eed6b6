/** The configuration can't be used. The message lists every problem at once, never a secret's value. */
export class ConfigurationError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(
      `The configuration has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:\n` +
        problems.map((problem) => `  - ${problem}`).join('\n') +
        '\nSet them in the environment or in .env (.env.example explains each).',
    );
    this.name = 'ConfigurationError';
  }
}
