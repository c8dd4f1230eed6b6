import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { Client } from 'pg';
import { loadCheckpoint } from '#change-log';
import type { DatabaseSettings } from '#config';
import { SlotMaker } from './slot-maker.js';
import { SLOT_TROUBLES, slotTrouble, type SlotTrouble } from './slot-trouble.js';
import { dropIdleSlot, ensurePublication, evictReader, findSlot, type Slot } from './slot.js';

/** A refusal to make the slot comes within this, ms. */
const REFUSED_WITHIN_MS = 1_000;

export interface PreparedSlot {
  /** The publication's identity: another one means that it was dropped meanwhile. */
  readonly publication: string;
  /** When there was no slot to go on with. */
  readonly maker: SlotMaker | undefined;
}

/**
 * The slot that we left, free to be read; or a new one in the making. `onTrouble` is called when the one that we left can't be gone
 * on with.
 * @throws SlotNotOursError, and what PostgreSQL answers where a slot can't be made: see why-no-wal.ts.
 */
export async function prepareSlot(
  client: Client,
  settings: DatabaseSettings,
  name: string,
  onTrouble: (trouble: SlotTrouble) => void,
): Promise<PreparedSlot> {
  const { oid: publication, made } = await ensurePublication(client);
  const slot = await freeSlot(client, name);
  const trouble = slotTrouble(slot, made, await loadCheckpoint(client));
  if (trouble !== undefined) {
    onTrouble(trouble);
    new Logger('capture').error(
      `Replication slot ${name} ${SLOT_TROUBLES[trouble]}. The change log is replayed from the checkpoint; nothing is lost.`,
    );
  }
  // Before its publication was there a slot can't be decoded.
  if (slot && !slot.invalid && !made) return { publication, maker: undefined };
  if (slot) await dropIdleSlot(client, name);
  const maker = new SlotMaker(settings, name);
  await Promise.race([maker.made, delay(REFUSED_WITHIN_MS, undefined, { ref: false })]);
  return { publication, maker };
}

/** The slot, after whoever of ours was left there is gone. */
export async function freeSlot(client: Client, name: string): Promise<Slot | undefined> {
  const slot = await findSlot(client, name);
  if (slot?.reader === undefined) return slot;
  if (await evictReader(client, name)) new Logger('capture').warn(`Ended a session that was left behind at replication slot ${name}`);
  return findSlot(client, name);
}
