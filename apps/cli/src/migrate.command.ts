import { Command } from 'nest-commander';
import { DataSource } from 'typeorm';
import { DEFAULT_TIMINGS, readEnvironment, readMigrationSettings } from '#config';
import { type DatabaseConnection, prepareDatabase } from '#postgres';
import { databaseConnections } from '#schema';
import { CommandWithJson, type JsonOptions } from './usage.js';

/** To be run by the owner of the databases, before processes of a new release start with users who may not change the schema. */
@Command({
  name: 'migrate',
  description:
    'Bring both databases to this release, as each process does at its start: the schema, its tables and functions, and the triggers',
})
export class MigrateCommand extends CommandWithJson {
  /** A database that fails does not keep the other one from being migrated. @throws Error that names each that was not. */
  async run(_: string[], { json }: JsonOptions): Promise<void> {
    const connections = databaseConnections(readMigrationSettings(readEnvironment()), DEFAULT_TIMINGS);
    const failures = await Promise.all(
      connections.map(async (connection) => {
        const { title, failure } = await migrate(connection);
        const result = { database: connection.name, migrated: failure === undefined };
        if (json || failure === undefined) this.print(json, result, `${title} is up to date.`);
        return failure;
      }),
    );
    const reasons = failures.filter((failure) => failure !== undefined);
    if (reasons.length > 0) throw new Error(reasons.join('\n'));
  }
}

/** Returns the name of the database, and why it was not migrated, if it was not. */
async function migrate(connection: DatabaseConnection): Promise<{ readonly title: string; readonly failure?: string }> {
  const { database, host, port, username } = connection.options as unknown as Record<string, string>;
  const title = `Database ${connection.name === 'db1' ? 1 : 2} (${username}@${host}:${port}/${database})`;
  const dataSource = new DataSource(connection.options);
  try {
    await dataSource.initialize();
    await prepareDatabase(dataSource, connection);
    return { title };
  } catch (error) {
    return { title, failure: `${title} was not brought up to date: ${(error as Error).message}` };
  } finally {
    if (dataSource.isInitialized) await dataSource.destroy();
  }
}
