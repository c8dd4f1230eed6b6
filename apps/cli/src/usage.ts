import { CommandRunner, Option } from 'nest-commander';

/** Exit codes of every command. Without an error the code is 0. */
export const EXIT_CODES = {
  /** The command failed, was refused, or has found a problem. */
  problem: 1,
  /** The command line itself is wrong. Nothing was done. */
  usage: 2,
} as const;

/** An error in the command line, such as an option's value that cannot be used. */
export class UsageError extends Error {}

/** Ends the process after a message of commander's: with 0 after a help text that was requested, otherwise the command line is wrong. */
export function exitAfterUsage({ exitCode }: Error & { readonly exitCode?: number }): never {
  process.exit(exitCode === 0 ? 0 : EXIT_CODES.usage);
}

/** A command that prints its usage after an error in the command line, such as an unknown option. */
export abstract class CommandWithUsage extends CommandRunner {
  override setCommand(command: CommandRunner['command']): this {
    return super.setCommand(command.showHelpAfterError().allowExcessArguments(this.allowsExcess).exitOverride(exitAfterUsage));
  }

  protected readonly allowsExcess: boolean = false;
}

/** A command that only has sub-commands. */
export abstract class CommandGroup extends CommandWithUsage {
  /** Surplus arguments are allowed, so that {@link run} reports them as unknown commands. */
  protected override readonly allowsExcess = true;

  /** Ends the process because the sub-command is missing or unknown. */
  async run([name]: string[]): Promise<void> {
    this.command.error(name === undefined ? 'error: a command is missing' : `error: there is no command "${name}"`);
  }
}

/** Options of a command that prints JSON on request. */
export interface JsonOptions {
  readonly json?: boolean;
}

/** A command whose result can be printed as JSON. Its errors are text on stderr, with and without the option. */
export abstract class CommandWithJson extends CommandWithUsage {
  @Option({ flags: '--json', description: 'print JSON, one value a line' })
  parseJson(): boolean {
    return true;
  }

  /** Prints a result: as a line of JSON, or as its text. */
  protected print(json: boolean | undefined, result: unknown, text: string): void {
    process.stdout.write(`${json ? JSON.stringify(result) : text}\n`);
  }

  /** Prints a remark that is not a result: beside JSON on stderr. */
  protected note(json: boolean | undefined, text: string): void {
    (json ? process.stderr : process.stdout).write(`${text}\n`);
  }
}

/** Parses a whole number from 1 to `max`. @throws UsageError naming `name`, an option or an argument, otherwise. */
export function parseWholeNumber(name: string, text: string, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw new UsageError(`${name} must be a whole number from 1 to ${max}, but is "${text}"`);
}

const UNITS_S: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };
const MAX_DURATION_S = 3_650 * 86_400;

/** Parses a time such as 12h into seconds. @throws UsageError */
export function parseSeconds(option: string, text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * (UNITS_S[unit ?? ''] ?? NaN);
  if (seconds >= 0 && seconds <= MAX_DURATION_S) return seconds;
  throw new UsageError(`${option} must be a time such as 12h or 90d, 10 years at most, but is "${text}"`);
}
