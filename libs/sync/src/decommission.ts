import type { Client } from 'pg';
import { type DatabaseSettings, DEFAULT_TIMINGS, type SyncTimings } from '#config';
import { DECOMMISSION_NAME, ServiceRunningError } from '#postgres';
import { LeaderLease } from './leader-lease.js';
import { dropIdleSlot, dropPublication, dropSlot, PUBLICATION } from './replication-slot.js';

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
  const lease = await takeLease(db1, timings);
  try {
    return (await isInstalled(lease.client)) ? await dropSlotAndPublication(lease.client, slot) : [];
  } finally {
    await lease.release();
  }
}

/**
 * Takes the lease of the capture, so that no process captures meanwhile. The caller releases it.
 * @throws ServiceRunningError when a sync process still holds it after the timeout.
 */
export async function takeLease(db1: DatabaseSettings, timings: SyncTimings): Promise<LeaderLease> {
  const lease = new LeaderLease(db1, timings, DECOMMISSION_NAME);
  let isHeldByAnother = false;
  try {
    await lease.acquire(AbortSignal.timeout(timings.decommissionTimeoutMs), () => (isHeldByAnother = true));
    return lease;
  } catch (error) {
    await lease.release().catch(() => undefined);
    throw isHeldByAnother
      ? new ServiceRunningError('A sync process still captures this database: stop it first, and then try again')
      : error;
  }
}

/** Drops the slot and the publication, also where the schema was dropped by hand. @returns what was dropped, in words. */
export async function dropSlotAndPublication(client: Client, slot: string): Promise<string[]> {
  const dropped: string[] = [];
  const drop = (await isInstalled(client)) ? dropSlot : dropIdleSlot;
  if (await drop(client, slot)) dropped.push(`replication slot ${slot}`);
  if (await dropPublication(client)) dropped.push(`publication ${PUBLICATION}`);
  return dropped;
}

/** Whether the service was ever started on this database. */
async function isInstalled(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ installed: boolean }>(
    `SELECT to_regclass('subscription_sync.checkpoint') IS NOT NULL AS installed`,
  );
  return rows[0]!.installed;
}
