import { DataSource } from 'typeorm';
import { readCommandSettings, readEnvironment } from '#config';
import { db1ConnectionOptions } from '#postgres';

type CommandSettings = ReturnType<typeof readCommandSettings>;

/** Calls `work` with a connection of its own to Database 1. @throws Error that names the database if it cannot be used. */
export async function useDatabase1<T>(work: (source: DataSource, settings: CommandSettings) => Promise<T>): Promise<T> {
  const settings = readCommandSettings(readEnvironment());
  const source = new DataSource(db1ConnectionOptions({ ...settings.db1, poolSize: 1 }));
  try {
    await source.initialize();
  } catch (error) {
    const { user, host, port, database } = settings.db1;
    throw new Error(`Database 1 (${user}@${host}:${port}/${database}) cannot be used: ${(error as Error).message}`, { cause: error });
  }
  try {
    return await work(source, settings);
  } finally {
    await source.destroy();
  }
}
