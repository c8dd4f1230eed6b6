import { Command } from 'nest-commander';
import { DataSource } from 'typeorm';
import { DEFAULT_TIMINGS, readEnvironment, readMigrationSettings } from '#config';
import { type DatabaseConnection, prepareDatabase } from '#postgres';
import { databaseConnections } from '#schema';
import { CommandWithUsage } from './usage.js';

/** To be run by the owner of the databases, before processes of a new release start with users who may not change the schema. */
@Command({
  name: 'migrate',
  description:
    'Bring both databases to this release, as each process does at its start: the schema, its tables and functions, and the triggers',
})
export class MigrateCommand extends CommandWithUsage {
  /** A database that fails does not keep the other one from being migrated. @throws Error that names each that was not. */
  async run(): Promise<void> {
    const connections = databaseConnections(readMigrationSettings(readEnvironment()), DEFAULT_TIMINGS);
    const failures = (await Promise.all(connections.map(migrate))).filter((failure) => failure !== undefined);
    if (failures.length > 0) throw new Error(failures.join('\n'));
  }
}

/** Returns why the database was not migrated, undefined if it was. */
async function migrate(connection: DatabaseConnection): Promise<string | undefined> {
  const { database, host, port, username } = connection.options as unknown as Record<string, string>;
  const title = `Database ${connection.name === 'db1' ? 1 : 2} (${username}@${host}:${port}/${database})`;
  const dataSource = new DataSource(connection.options);
  try {
    await dataSource.initialize();
    await prepareDatabase(dataSource, connection);
    process.stdout.write(`${title} is up to date.\n`);
    return undefined;
  } catch (error) {
    return `${title} was not brought up to date: ${(error as Error).message}`;
  } finally {
    if (dataSource.isInitialized) await dataSource.destroy();
  }
}
