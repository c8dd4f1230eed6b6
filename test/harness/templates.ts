import { DataSource } from 'typeorm';
import { Client } from 'pg';
import { db1Options, db2Options } from '#schema';
import type { Address, PartAddresses } from './addresses.js';

export const TEMPLATES = { db1: 'db1_template', db2: 'db2_template' } as const;

/** One migrated, empty database on each server: every test clones its own from it, which takes a tenth of the migrations' time. */
export async function makeTemplates(addresses: Pick<PartAddresses, 'db1' | 'db2'>): Promise<void> {
  await Promise.all([makeTemplate(addresses.db1, TEMPLATES.db1, db1Options), makeTemplate(addresses.db2, TEMPLATES.db2, db2Options)]);
}

async function makeTemplate(address: Address, database: string, options: typeof db1Options): Promise<void> {
  await runOn(address, `CREATE DATABASE ${database}`);
  const dataSource = new DataSource(options({ ...address, database, poolSize: 2 }));
  await dataSource.initialize();
  await dataSource.runMigrations();
  await dataSource.destroy();
}

/** Runs one statement in the server's `postgres` database. */
export async function runOn(address: Address, sql: string): Promise<void> {
  const client = new Client({ ...address, database: 'postgres' });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
