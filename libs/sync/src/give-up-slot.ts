import type { Client } from 'pg';
import { forgetPlaceInWal } from '#change-log';
import { freeSlot } from './prepare-slot.js';
import { dropIdleSlot, SlotNotOursError } from './slot.js';

/**
 * Drops the slot on purpose, also from a reader of ours that was left behind: nobody will read it, and it would fill the disk.
 * One of another program is left alone.
 * @returns whether there was one.
 */
export async function giveUpSlot(client: Client, name: string): Promise<boolean> {
  try {
    await freeSlot(client, name);
  } catch (error) {
    if (error instanceof SlotNotOursError) return false;
    throw error;
  }
  // First, or a crash between the two would raise the alarm of a lost slot.
  await forgetPlaceInWal(client);
  return dropIdleSlot(client, name);
}
