import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { BEGINNING, type Change, currentSnapshotText, loadCheckpoint, parseSnapshot, readLog, storeCheckpoint } from '#change-log';
import type { SlotMaker } from './slot-maker.js';
import { findSlot, type Slot } from './slot.js';

/** Pause between two looks at the log while the slot is being made, ms. */
const LOOK_EVERY_MS = 250;

/**
 * Reads the log by SQL from the checkpoint to a snapshot that was taken when the slot was there: everything that committed before
 * the slot's first place is in it. Nothing when the slot stands where it was left. While it is being made, which may take as
 * long as another program's transaction, window follows window.
 */
export async function* catchUp(
  client: Client,
  name: string,
  maker: SlotMaker | undefined,
  signal: AbortSignal,
): AsyncGenerator<readonly Change[], void, void> {
  const stored = await loadCheckpoint(client);
  if (!maker && stored?.lsn !== undefined && (await existingSlot(client, name)).confirmed <= stored.lsn) return;
  let from = stored?.snapshot ?? BEGINNING;
  for (let made = false; !made;) {
    made = !maker || (await isMade(maker, signal));
    const to = parseSnapshot(await currentSnapshotText(client));
    let found = false;
    for await (const changes of readLog(client, from, to)) {
      found = true;
      yield changes;
      if (signal.aborted) return;
    }
    if (signal.aborted) return;
    if (made) await storeCheckpoint(client, { snapshot: to, lsn: (await existingSlot(client, name)).confirmed });
    else if (found) await storeCheckpoint(client, { snapshot: to, lsn: undefined });
    from = to;
  }
}

/** Waits a little for it. Rejects with why it can't be made. */
async function isMade(maker: SlotMaker, signal: AbortSignal): Promise<boolean> {
  await Promise.race([maker.made, delay(LOOK_EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined)]);
  return maker.isMade;
}

async function existingSlot(client: Client, name: string): Promise<Slot> {
  const slot = await findSlot(client, name);
  if (!slot) throw new Error(`Replication slot ${name} vanished`);
  return slot;
}
