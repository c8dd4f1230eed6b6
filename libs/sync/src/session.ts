import { Client, type ClientConfig } from 'pg';
import type { DatabaseSettings } from '#config';
import { APPLICATION_NAME } from '#postgres';

/**
 * Bounds of a session with DB1, ms. A process that is stopped, or cut off without a reset, keeps its connection: TCP alone notices
 * after hours, and as long PostgreSQL would keep the lease and the slot for it.
 */
export const LIMITS = {
  connect: 5_000,
  /** PostgreSQL cancels a statement after this. Chunks of the log take milliseconds. */
  statement: 8_000,
  /** No answer after this: DB1 is cut off. Longer than `statement`, so that a slow server gets to say so itself. */
  answer: 9_000,
  /** PostgreSQL ends a session that asks nothing, or doesn't take what was sent to it, for so long. Four renewals of the lease. */
  silence: 8_000,
  /** Saying goodbye is politeness. */
  goodbye: 1_000,
} as const;

/** Application names: by them a session of ours that was left behind is told from another program's. */
export const LEASE_NAME = `${APPLICATION_NAME}-sync`;
export const READER_NAME = `${APPLICATION_NAME}-capture`;

/** A connection whose every wait is bounded, unless `more` says otherwise. `options`: PostgreSQL's settings for this session. */
export function clientOf(
  settings: DatabaseSettings,
  name: string,
  options: Readonly<Record<string, string | number>>,
  more: ClientConfig,
): Client {
  return new Client({
    ...settings,
    keepAlive: true,
    connectionTimeoutMillis: LIMITS.connect,
    application_name: name,
    options: Object.entries({ TimeZone: 'UTC', tcp_user_timeout: LIMITS.silence, ...options })
      .map(([setting, value]) => `-c ${setting}=${value}`)
      .join(' '),
    ...more,
  });
}

/** Ends the connection, also one whose other end has vanished: pg would wait for it until TCP gives up. */
export async function endClient(client: Client): Promise<void> {
  const timer = setTimeout(() => client.connection.stream.destroy(), LIMITS.goodbye);
  try {
    await client.end();
  } finally {
    clearTimeout(timer);
  }
}
