import type { Client } from 'pg';
import { DEFAULT_TIMINGS, type DatabaseSettings } from '#config';
import { LeaderLease } from './leader-lease.js';
import { dropPublication, dropSlot, PUBLICATION } from './replication-slot.js';

/** A capture that was stopped or cut off loses its lease within 8 s. */
const WAIT_MS = 12_000;

/**
 * Takes from DB1 what costs it something while the service is away: the replication slot, which keeps WAL for ever, and the
 * publication. Tables, triggers and change log stay, so a later start goes on from the checkpoint and misses nothing.
 * @returns what was dropped.
 * @throws Error when a sync process still captures DB1 after `waitMs`.
 */
export async function decommission(db1: DatabaseSettings, slot: string, waitMs = WAIT_MS): Promise<readonly string[]> {
  const lease = new LeaderLease(db1, DEFAULT_TIMINGS.sync);
  try {
    await takeLease(lease, waitMs);
    if (!(await isKnown(lease.client))) return [];
    const dropped: string[] = [];
    if (await dropSlot(lease.client, slot)) dropped.push(`replication slot ${slot}`);
    if (await dropPublication(lease.client)) dropped.push(`publication ${PUBLICATION}`);
    return dropped;
  } finally {
    await lease.release();
  }
}

async function takeLease(lease: LeaderLease, waitMs: number): Promise<void> {
  let held = false;
  try {
    await lease.acquire(AbortSignal.timeout(waitMs), () => (held = true));
  } catch (error) {
    throw held ? new Error('A sync process still captures this database: stop it first, and then try again') : error;
  }
}

/** Whether the service has ever been here. */
async function isKnown(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ known: boolean }>(`SELECT to_regclass('sync_checkpoint') IS NOT NULL AS known`);
  return rows[0]!.known;
}
