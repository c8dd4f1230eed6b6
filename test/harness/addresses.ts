import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { readEnvironment } from '#config';
import { migrate } from '#postgres';
import { db1Options, db2Options } from '#schema';

export const TEMPLATES = { db1: 'db1_template', db2: 'db2_template' } as const;

/** One migrated, empty database on each server. Every test clones its own from it, in a tenth of the time of the migrations. */
export async function makeTemplates(addresses: Pick<PartAddresses, 'db1' | 'db2'>): Promise<void> {
  await Promise.all([makeTemplate(addresses.db1, TEMPLATES.db1, db1Options), makeTemplate(addresses.db2, TEMPLATES.db2, db2Options)]);
}

async function makeTemplate(address: Address, database: string, options: typeof db1Options): Promise<void> {
  // The tests make thousands of connections, and 4,096 iterations take milliseconds on both sides. Versions before 16 have no other number.
  const fewIterations = `SELECT set_config(name, '1', false) FROM pg_settings WHERE name = 'scram_iterations'`;
  await runOn(address, `${fewIterations}; ALTER ROLE ${address.user} PASSWORD '${address.password}'`);
  await runOn(address, `CREATE DATABASE ${database}`);
  const dataSource = new DataSource(options({ ...address, database, poolSize: 2 }));
  await dataSource.initialize();
  await migrate(dataSource);
  await dataSource.destroy();
}

/** Returns host and port of one of the parts that all tests share. */
export function placeOf(part: keyof PartAddresses): { host: string; port: number } {
  const parts = sharedParts();
  if (part !== 'kafka') return parts[part];
  const [host, port] = parts.kafka.split(':') as [string, string];
  return { host, port: Number(port) };
}

/** Runs one statement in the server's `postgres` database. */
export async function runOn(address: Address, sql: string): Promise<void> {
  await withServer(address, (client) => client.query(sql));
}

/** Lends a session in the server's `postgres` database. */
export async function withServer<T>(address: Address, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ ...address, database: 'postgres' });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Address and credentials of a PostgreSQL server. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

export interface PartAddresses {
  readonly db1: Address;
  readonly db2: Address;
  readonly kafka: string;
}

/** Environment variable by which jest's workers get the addresses of the parts that its global setup started. */
export const ADDRESSES_VARIABLE = 'SUBSCRIPTION_SYNC_TEST_PARTS';

/** Returns the addresses of the parts that run for the whole test run. */
export function sharedParts(): PartAddresses {
  const text = readEnvironment()[ADDRESSES_VARIABLE];
  if (text === undefined) throw new Error('The parts are started by test/harness/global-setup.ts: run the tests with `npm test`');
  return JSON.parse(text) as PartAddresses;
}
