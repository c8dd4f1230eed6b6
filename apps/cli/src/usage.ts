import { CommandRunner } from 'nest-commander';

/** A command that prints its usage after an error in the command line, such as an unknown option. The exit code is 1 then. */
export abstract class CommandWithUsage extends CommandRunner {
  override setCommand(command: CommandRunner['command']): this {
    return super.setCommand(command.showHelpAfterError());
  }

  /** Ends the process with exit code 1 because the sub-command is missing or unknown. */
  protected rejectSubCommand(name: string | undefined): never {
    return this.command.error(name === undefined ? 'error: a command is missing' : `error: there is no command "${name}"`);
  }
}

/** Parses a whole number from 1 to `max`. @throws Error naming `name`, an option or an argument, otherwise. */
export function parseWholeNumber(name: string, text: string, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw new Error(`${name} must be a whole number from 1 to ${max}, but is "${text}"`);
}
