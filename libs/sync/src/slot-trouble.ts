import type { StoredCheckpoint } from '#change-log';
import type { Slot } from './slot.js';

/** Why the slot that we left can't be gone on with, and what a person should know. The names are stable: a metric has them. */
export const SLOT_TROUBLES = {
  missing: 'is gone: dropped, or not on the new primary',
  wal_removed: 'is lost: the server has removed WAL that it needs (max_slot_wal_keep_size)',
  idle_timeout: 'is lost: nobody read it for idle_replication_slot_timeout',
  invalidated: 'is lost: the server has invalidated it',
  advanced: 'stands further than the checkpoint: somebody made it anew, or read it',
  publication_missing: 'misses what was written while its publication was dropped',
  not_ours: "is another program's, and left alone",
} as const;

export type SlotTrouble = keyof typeof SLOT_TROUBLES;

/** Undefined when the stream can go on, and where no slot was left: that is a first start. */
export function slotTrouble(
  slot: Slot | undefined,
  publicationMade: boolean,
  stored: StoredCheckpoint | undefined,
): SlotTrouble | undefined {
  if (stored?.lsn === undefined) return undefined;
  if (!slot) return 'missing';
  if (slot.invalid) return slot.invalid;
  if (publicationMade) return 'publication_missing';
  return slot.confirmed > stored.lsn ? 'advanced' : undefined;
}
