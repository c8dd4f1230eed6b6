import { fork } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import { ApiKeys } from '#auth';
import { ServicePipeline, usageOf } from '../pipeline/service-pipeline.js';
import type { Servers } from '../servers.js';
import { type Operation, type Request, requestsOf, ROWS, rowsEmail } from './requests.js';

/** Default size of the service's connection pool (DB1_POOL_SIZE). */
const POOL_SIZE = 10;
/** The limits are on, and higher than the rates that are measured. */
const LIMITS = { RATE_LIMIT_PER_KEY: '1000000000', RATE_LIMIT_PER_ADDRESS: '1000000000' };

/** A server to be measured, in a process of its own. */
export interface Target {
  readonly name: string;
  readonly port: number;
  next(operation: Operation): () => Request;
  /** CPU time that its process has used, s. */
  cpu(): number;
  /** Resolves when the work that was caused by the requests so far is done. */
  waitUntilIdle(): Promise<void>;
  close(): Promise<void>;
}

/** Starts the service with the given roles as in production: keys required, a log line for each request. */
export async function service(name: string, roles: string, parts: Servers, folder: string): Promise<Target & { db1: Pool }> {
  const settings = { ACCESS: 'required', LOG_LEVEL: 'info', ...LIMITS };
  const log = openSync(join(folder, `${name}.log`), 'w');
  const pipeline = await ServicePipeline.prepare(name, [roles], 'wal', parts, settings, ['ignore', log, 'inherit']);
  const { db1, db2 } = pipeline;
  const keys = new ApiKeys({ query: async <Row>(sql: string, values?: unknown[]) => (await db1.query(sql, values)).rows as Row[] });
  const { key } = await keys.create('bench', ['read', 'write'], undefined, { actor: 'bench', address: null, request_id: null });
  await seed(db1, name);
  await pipeline.start();
  const newest = async (pool: Pool, table: string): Promise<string | null> =>
    (await pool.query<{ newest: string | null }>(`SELECT max(version) AS newest FROM ${table}`)).rows[0]!.newest;
  return {
    name,
    port: Number(new URL(pipeline.url).port),
    next: requestsOf(name, key),
    cpu: () => pipeline.usage().cpu,
    waitUntilIdle: async () => {
      while (
        roles.includes('replica') &&
        (await newest(db1, 'subscription_sync.changes')) !== (await newest(db2, 'subscription_sync.applied'))
      )
        await delay(100);
    },
    close: () => pipeline.close(),
    db1,
  };
}

/** Starts the bare server on the database that the service has migrated: the same tables, triggers and functions. */
export async function bareServer(db1: Pool): Promise<Target> {
  const name = 'bare';
  await seed(db1, name);
  const { user, password, host, port, database } = db1.options as unknown as Record<string, string>;
  const child = fork('dist/bench/api/bare-server.js', [`postgresql://${user}:${password}@${host}:${port}/${database}`, String(POOL_SIZE)]);
  const [listening] = (await once(child, 'message')) as [number];
  return {
    name,
    port: listening,
    next: requestsOf(name, 'none'),
    cpu: () => usageOf([child]).cpu,
    waitUntilIdle: () => Promise.resolve(),
    close: async () => {
      const exited = once(child, 'exit');
      child.kill();
      await exited;
    },
  };
}

async function seed(db1: Pool, owner: string): Promise<void> {
  await db1.query(
    `INSERT INTO subscriptions (email, status, plan, metadata) SELECT email, 'active', 'pro', '{"source": "web"}' FROM unnest($1::text[]) email`,
    [Array.from({ length: ROWS }, (_, row) => rowsEmail(owner, row))],
  );
}
