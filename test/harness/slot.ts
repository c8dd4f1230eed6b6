import { eventually } from './eventually.js';
import type { World } from './world.js';

/**
 * Resolves when the slot of the world is made and read. PostgreSQL makes it when the transactions of all databases that were open are
 * over, those of other tests too; until then it is active as well, and gone with who asked for it, or a moment later.
 */
export async function slotIsRead({ db1, name }: World): Promise<void> {
  const read = 'SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active AND confirmed_flush_lsn IS NOT NULL';
  await eventually(async () => (await db1.query(read, [name])).rowCount === 1);
}

/** Ends whoever reads the slot, and takes it away before it is back. */
export async function dropSlot({ db1, name }: World): Promise<void> {
  await eventually(async () => {
    await db1.query('SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = $1', [name]);
    await db1.query('SELECT pg_drop_replication_slot($1)', [name]);
    return true;
  });
}
