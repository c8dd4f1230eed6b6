import type { Client } from 'pg';
import { type DatabaseSettings, DEFAULT_TIMINGS, type SyncTimings } from '#config';
import { LeaderLease } from './leader-lease.js';
import { dropPublication, dropSlot, PUBLICATION } from './replication-slot.js';

/**
 * Drops what costs DB1 something while the service is away: the replication slot, which keeps WAL for ever, and the publication. Tables,
 * triggers and change log stay, so a later start continues from the checkpoint and misses nothing.
 * @returns what was dropped.
 * @throws Error when a sync process still captures DB1 after the timeout.
 */
export async function decommission(
  db1: DatabaseSettings,
  slot: string,
  timings: SyncTimings = DEFAULT_TIMINGS.sync,
): Promise<readonly string[]> {
  const lease = new LeaderLease(db1, timings);
  try {
    await takeLease(lease, timings.decommissionTimeoutMs);
    if (!(await isInstalled(lease.client))) return [];
    const dropped: string[] = [];
    if (await dropSlot(lease.client, slot)) dropped.push(`replication slot ${slot}`);
    if (await dropPublication(lease.client)) dropped.push(`publication ${PUBLICATION}`);
    return dropped;
  } finally {
    await lease.release();
  }
}

async function takeLease(lease: LeaderLease, timeoutMs: number): Promise<void> {
  let isHeldByAnother = false;
  try {
    await lease.acquire(AbortSignal.timeout(timeoutMs), () => (isHeldByAnother = true));
  } catch (error) {
    throw isHeldByAnother ? new Error('A sync process still captures this database: stop it first, and then try again') : error;
  }
}

/** Whether the service was ever started on this database. */
async function isInstalled(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ installed: boolean }>(
    `SELECT to_regclass('subscription_sync.checkpoint') IS NOT NULL AS installed`,
  );
  return rows[0]!.installed;
}
