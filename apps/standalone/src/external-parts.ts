import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import type { DatabasePlan } from './plan.js';
import { StandaloneError } from './standalone.error.js';

/** What PostgreSQL's refusals mean for the one who configured it. */
const REFUSALS: Readonly<Record<string, (plan: DatabasePlan) => string>> = {
  '28P01': ({ name, user }) => `it refuses the password of user "${user}": correct ${name}_USER and ${name}_PASSWORD.`,
  '28000': ({ name, user }) => `it refuses user "${user}": correct ${name}_USER, or allow it in pg_hba.conf.`,
  '3D000': ({ name, database }) =>
    `it has no database "${database}": run CREATE DATABASE "${database}" there, or correct ${name}_DATABASE.`,
};

/**
 * Makes sure that a database that runs elsewhere can be used, before anything is started for it.
 * @throws StandaloneError naming the variables to correct.
 */
export async function checkDatabase(plan: DatabasePlan): Promise<void> {
  const { name, host, port, user, password, database } = plan;
  const client = new pg.Client({ host, port, user, password, database, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    const { code = '', message } = error as { code?: string; message: string };
    const reason =
      REFUSALS[code]?.(plan) ?? `it can't be reached (${message || code}): start it, or unset ${name}_HOST to use the embedded one.`;
    throw new StandaloneError(`${name} is set to ${host}:${port}, but ${reason}`);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** @throws StandaloneError when none of the brokers answers. */
export async function checkKafka(brokers: readonly string[]): Promise<void> {
  const client = new Kafka({
    clientId: 'standalone',
    brokers: [...brokers],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 3_000,
    retry: { retries: 1 },
  });
  const admin = client.admin();
  try {
    await admin.connect();
    await admin.describeCluster();
  } catch (error) {
    throw new StandaloneError(
      `KAFKA_SERVER is set to ${brokers.join(',')}, but no Kafka answers there (${(error as Error).message}): start it, or unset KAFKA_SERVER to use the embedded one.`,
    );
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}
