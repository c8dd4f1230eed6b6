import { existsSync, readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import type { Role, Secret } from './settings.js';

/** Environment variables by name. An empty string counts as set: a password may be empty. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Prefixes of the variables that the SDKs of AWS and OpenTelemetry read by themselves, from the process's environment alone. */
const SDK_PREFIXES = ['AWS_', 'OTEL_'];

/**
 * Returns the variables of the file (default: `.env` in the working directory), overridden by the process's environment. Variables of the
 * file that SDKs read are added to the process's environment. Only this function uses process.env.
 */
export function readEnvironment(file = '.env'): Environment {
  const fromFile = existsSync(file) ? parseEnv(readFileSync(file, 'utf8')) : {};
  for (const [name, value] of Object.entries(fromFile)) {
    if (SDK_PREFIXES.some((prefix) => name.startsWith(prefix))) process.env[name] ??= value;
  }
  return { ...fromFile, ...process.env };
}

/** Reads variables by name and kind, and collects the problems. */
export class Reader {
  readonly problems: string[] = [];

  constructor(private readonly environment: Environment) {}

  text(name: string, fallback?: string): string {
    const value = this.environment[name]?.trim();
    if (value) return value;
    if (fallback !== undefined) return fallback;
    this.problems.push(`${name} is required`);
    return '';
  }

  isSet(name: string): boolean {
    return Boolean(this.environment[name]?.trim());
  }

  /** Reads a secret from the variable, or from the file that `<name>_FILE` names. Only the variable may be empty. */
  secret(name: string): Secret {
    const value = this.environment[name];
    const file = this.text(`${name}_FILE`, '');
    if (file === '') {
      if (value === undefined) this.problems.push(`${name} is required (it may be empty), or ${name}_FILE with the file that has it`);
      return value ?? '';
    }
    if (value) this.problems.push(`${name} and ${name}_FILE are both set. Set one of them`);
    return this.fileAt(`${name}_FILE`, file);
  }

  /** Returns how to read the file that the variable names, or undefined if it is not set. */
  file(name: string): (() => string) | undefined {
    const file = this.text(name, '');
    return file === '' ? undefined : this.fileAt(name, file);
  }

  /** Returns how to read a file that the variable names, or that is given in its place. */
  fileAt(name: string, file: string): () => string {
    const read = fileReader(name, file);
    try {
      read();
    } catch (error) {
      this.problems.push((error as Error).message);
    }
    return read;
  }

  integer(name: string, fallback: number, min: number, max: number): number {
    const text = this.text(name, String(fallback));
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    this.problems.push(`${name} must be a whole number from ${min} to ${max}, but is "${text}"`);
    return fallback;
  }

  oneOf<T extends string>(name: string, allowed: readonly T[], fallback: T): T {
    const text = this.text(name, fallback);
    const value = allowed.find((candidate) => candidate === text);
    if (value !== undefined) return value;
    this.problems.push(`${name} must be one of ${allowed.join(', ')}, but is "${text}"`);
    return fallback;
  }

  matching(name: string, pattern: RegExp, fallback: string, rule: string): string {
    const text = this.text(name, fallback);
    if (!pattern.test(text)) this.problems.push(`${name} must be ${rule}, but is "${text}"`);
    return text;
  }

  list(name: string, allowed: readonly Role[], fallback: readonly Role[]): readonly Role[] {
    const words = this.words(name, fallback.join(','));
    const unknown = words.filter((word) => !(allowed as readonly string[]).includes(word));
    if (unknown.length === 0 && words.length > 0) return allowed.filter((role) => words.includes(role));
    this.problems.push(`${name} must list some of ${allowed.join(', ')}, but is "${this.environment[name] ?? ''}"`);
    return fallback;
  }

  brokers(name: string): readonly string[] {
    const brokers = this.words(name);
    const wrong = brokers.filter((broker) => !/^\S+:\d{1,5}$/.test(broker));
    if (wrong.length > 0) this.problems.push(`${name} must be host:port, comma-separated, but has "${wrong.join('", "')}"`);
    return brokers;
  }

  /** Reads a list whose elements all pass `isValid`. Empty by default. */
  each(name: string, isValid: (word: string) => boolean, rule: string): readonly string[] {
    const words = this.words(name, '');
    const wrong = words.filter((word) => !isValid(word));
    if (wrong.length > 0) this.problems.push(`${name} must list ${rule}, comma-separated, but has "${wrong.join('", "')}"`);
    return words;
  }

  /** Reads a comma-separated list. */
  words(name: string, fallback?: string): string[] {
    return this.text(name, fallback)
      .split(',')
      .map((word) => word.trim())
      .filter((word) => word !== '');
  }
}

/** Returns the secret as it is now. @throws Error that names the variable and the file when the file cannot be read. */
export function secretText(secret: Secret): string {
  return typeof secret === 'string' ? secret : secret();
}

/** Returns how to read a file, without the line break at its end. It throws an error that names the variable and the file. */
function fileReader(name: string, file: string): () => string {
  return () => {
    let text: string;
    try {
      text = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    } catch (error) {
      throw new Error(`${name}: the file ${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`, {
        cause: error,
      });
    }
    if (text === '') throw new Error(`${name}: the file ${file} is empty`);
    return text;
  };
}

/** The configuration cannot be used. The message lists all problems, and never the value of a secret. */
export class ConfigurationError extends Error {
  readonly problems: readonly string[];

  constructor(found: readonly string[]) {
    const problems = [...new Set(found)];
    super(
      `The configuration has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:\n` +
        problems.map((problem) => `  - ${problem}`).join('\n') +
        '\nSet them in the environment or in .env (.env.example explains each).',
    );
    this.name = 'ConfigurationError';
    this.problems = problems;
  }
}
