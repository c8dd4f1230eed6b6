import { Module } from '@nestjs/common';
import { CommandFactory, InjectCommander } from 'nest-commander';
import { KEY_COMMANDS } from './api-keys.commands.js';
import { CompletionCommand } from './completion.command.js';
import { DEAD_LETTER_COMMANDS } from './dead-letters.commands.js';
import { DecommissionCommand } from './decommission.command.js';
import { DoctorCommand } from './doctor.command.js';
import { EraseCommand } from './erase.command.js';
import { MigrateCommand } from './migrate.command.js';
import { RECONCILE_COMMANDS } from './reconcile.commands.js';
import { StatusCommand } from './status.command.js';
import { TailCommand } from './tail.command.js';
import { EXIT_CODES, exitAfterUsage, UsageError } from './usage.js';

/** The command line of an operator. It needs no running service, and the settings of the service: `.env` or the environment. */
@Module({
  providers: [
    ...[StatusCommand, TailCommand, DoctorCommand],
    ...RECONCILE_COMMANDS,
    ...DEAD_LETTER_COMMANDS,
    ...KEY_COMMANDS,
    ...[EraseCommand, MigrateCommand, DecommissionCommand, CompletionCommand],
  ],
})
class CliModule {
  constructor(@InjectCommander() program: { name(name: string): { description(text: string): unknown } }) {
    program
      .name('subscription-sync')
      .description(
        'Administers subscription-sync. Settings are those of the service: environment variables, or .env in the working directory.',
      );
  }
}

/**
 * Runs the command that the process's arguments name. Commands report what the operator can put right by throwing an error: its message is printed
 * without a stack.
 */
export async function runCommandLine(): Promise<void> {
  await CommandFactory.run(CliModule, {
    logger: ['error'],
    errorHandler: exitAfterUsage,
    serviceErrorHandler: (error) => {
      process.stderr.write(`${error.message}\n`);
      process.exitCode = error instanceof UsageError ? EXIT_CODES.usage : EXIT_CODES.problem;
    },
  });
}
