import { Command, Option } from 'nest-commander';
import { type DatabaseSettings, readCommandSettings, readEnvironment, readRemovalSettings } from '#config';
import { decommission, purge } from '#sync';
import { CommandWithJson, type JsonOptions } from './usage.js';

/** The contents of the service's schema in each database, which are lost with it. */
const LOST = {
  db1: 'the change log with the history of all subscriptions, API keys, the audit log, imports, stored results of idempotent requests and reports of reconciliation',
  db2: 'the version and the deletion of each row, the positions in the topic, and the dead letters',
};

/** To be run when the service is removed, or stopped for long. */
@Command({
  name: 'decommission',
  description: 'Drop what costs Database 1 something while the service is away: its replication slot and its publication',
})
export class DecommissionCommand extends CommandWithJson {
  async run(_: string[], { purge: purges = false, json = false }: JsonOptions & { readonly purge?: boolean }): Promise<void> {
    await (purges ? purgeDatabases(json) : decommissionDb1(json));
  }

  @Option({
    flags: '--purge',
    description:
      'remove the service from both databases: also its triggers and its schema, with the change log, the history and the dead letters. Your tables are kept',
  })
  parsePurge(): boolean {
    return true;
  }
}

async function decommissionDb1(json: boolean): Promise<void> {
  const { db1, slot } = readCommandSettings(readEnvironment());
  const dropped = await decommission(db1, slot).catch((error: unknown) => {
    throw new Error(`Database 1 was not decommissioned: ${(error as Error).message}`, { cause: error });
  });
  if (json) {
    printLine({ database: 'db1', dropped });
    return;
  }
  process.stdout.write(
    `${title('db1', db1)}\n` +
      `  dropped: ${dropped.length > 0 ? dropped.join(', ') : 'nothing, because nothing of the service was there'}\n` +
      `  kept: the tables, their triggers and the change log, which keeps recording and is not pruned meanwhile\n` +
      `To come back, start the service: it continues from its checkpoint and misses nothing.\n`,
  );
}

/** Prints what will be lost, then what was dropped. @throws Error that names each database that was not purged. */
async function purgeDatabases(json: boolean): Promise<void> {
  const settings = readRemovalSettings(readEnvironment());
  const purged = await purge(settings, {
    onFound: (name, { tables: { count, size } }) =>
      json || process.stdout.write(`${title(name, settings[name])}\n  will be lost: ${LOST[name]} (${count} tables, ${size})\n`),
  }).catch((error: unknown) => {
    throw new Error(`Nothing was purged: ${(error as Error).message}`, { cause: error });
  });
  for (const { name, dropped, failure } of purged) {
    if (json) {
      printLine({ database: name, dropped, failure: failure ?? null });
      continue;
    }
    if (failure !== undefined && dropped.length === 0) continue;
    const list = dropped.map((object) => `\n    ${object}`).join('');
    process.stdout.write(`${title(name, settings[name])}\n  dropped:${list || ' nothing, because nothing of the service was there'}\n`);
  }
  const failures = purged.filter(({ failure }) => failure !== undefined);
  if (failures.length > 0) {
    const lines = failures.map(({ name, failure }) => `${title(name, settings[name])} was not purged: ${failure}`);
    throw new Error([...lines, 'Run the command again once this is solved: it drops what is left.'].join('\n'));
  }
  if (json) return;
  process.stdout.write(
    'Your tables are kept with all their rows, also those that the service created. The topic in Kafka is kept too: delete it, because its\n' +
      'records have the versions of the change log that is gone.\n',
  );
}

function printLine(result: object): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

function title(name: 'db1' | 'db2', settings: DatabaseSettings | undefined): string {
  const place = settings ? ` ${settings.database} on ${settings.host}:${settings.port}` : '';
  return `Database ${name === 'db1' ? 1 : 2}${place}`;
}
