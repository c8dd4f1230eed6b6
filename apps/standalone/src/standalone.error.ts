/** A start that can't go on for a reason its user can remove. The message is one line: what is wrong, then what to do. */
export class StandaloneError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StandaloneError';
  }
}
