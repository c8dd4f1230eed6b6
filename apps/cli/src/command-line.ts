import { Module } from '@nestjs/common';
import { CommandFactory, InjectCommander } from 'nest-commander';
import { KEY_COMMANDS } from './api-keys.commands.js';
import { DecommissionCommand } from './decommission.command.js';
import { DoctorCommand } from './doctor.command.js';
import { EraseCommand } from './erase.command.js';
import { MigrateCommand } from './migrate.command.js';
import { RECONCILE_COMMANDS } from './reconcile.commands.js';

/** The command line of an operator. It needs no running service, and Database 1 alone (DB1_…), apart from `decommission --purge`, `doctor` and `migrate`. */
@Module({ providers: [...KEY_COMMANDS, ...RECONCILE_COMMANDS, DecommissionCommand, DoctorCommand, EraseCommand, MigrateCommand] })
class CliModule {
  constructor(@InjectCommander() program: { name(name: string): { description(text: string): unknown } }) {
    program
      .name('npm run cli --')
      .description('Administers subscription-sync by way of Database 1 (DB1_HOST and the other settings of DB1).');
  }
}

/**
 * Runs the command that the process's arguments name. Commands report what the operator can put right by throwing an error: its message is printed
 * without a stack, and the exit code is 1.
 */
export async function runCommandLine(): Promise<void> {
  await CommandFactory.run(CliModule, {
    logger: ['error'],
    serviceErrorHandler: ({ message }) => {
      process.stderr.write(`${message}\n`);
      process.exitCode = 1;
    },
  });
}
