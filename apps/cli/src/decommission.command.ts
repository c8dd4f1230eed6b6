import { Command } from 'nest-commander';
import { readCommandSettings, readEnvironment } from '#config';
import { decommission } from '#sync';
import { CommandWithUsage } from './usage.js';

/** To be run when the service is removed, or stopped for long. */
@Command({
  name: 'decommission',
  description: 'Drop what costs Database 1 something while the service is away: its replication slot and its publication',
})
export class DecommissionCommand extends CommandWithUsage {
  async run(): Promise<void> {
    const { db1, slot } = readCommandSettings(readEnvironment());
    const dropped = await decommission(db1, slot).catch((error: unknown) => {
      throw new Error(`Database 1 was not decommissioned: ${(error as Error).message}`, { cause: error });
    });
    process.stdout.write(
      `Database ${db1.database} on ${db1.host}:${db1.port}\n` +
        `  dropped: ${dropped.length > 0 ? dropped.join(', ') : 'nothing, because nothing of the service was there'}\n` +
        `  kept: the tables, their triggers and the change log, which keeps recording and is not pruned meanwhile\n` +
        `To come back, start the service: it continues from its checkpoint and misses nothing.\n`,
    );
  }
}
