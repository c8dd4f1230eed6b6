import { Client, type ClientConfig } from 'pg';
import { eventually } from '../harness/eventually.js';
import { over, type Fault, type Faults, type Heal } from './fault.js';
import type { Effect } from './history.js';
import type { Scene } from './scene.js';

/** Number of rows in a huge transaction. */
const HUGE = 50_000;
/** Number of rows for which a full disk has no room. */
const TOO_MANY = 4_000;

async function withClient<T>(config: ClientConfig, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(config);
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

const configOf = ({ rig, world }: Scene, part: 'db1' | 'db2'): ClientConfig => ({ ...rig.parts.addresses[part], database: world.name });

/** Creates rows that no other writer changes, in one transaction. */
async function makeRows(scene: Scene, what: string, rows: number): Promise<void> {
  const id = `${what}-${scene.history.operations.length}`;
  const effects: Effect[] = [{ kind: 'changes', count: rows }];
  await withClient(scene.db1Config, async (client) => {
    try {
      await client.query(`SELECT set_config('subscription_sync.reason', $1, false)`, [id]);
      await client.query(
        `INSERT INTO subscriptions (email, status) SELECT $1 || i || '@example.com', 'active' FROM generate_series(1, $2::int) i`,
        [id, rows],
      );
      scene.history.operation({ id, by: 'sql', what, outcome: 'ok', effects });
    } catch (error) {
      scene.history.operation({ id, by: 'sql', what, outcome: 'info', effects: [], why: (error as Error).message });
    }
  });
}

/** Terminates every session in the run's database: those of the service, the writers and the nemesis. */
async function terminateBackends(scene: Scene, part: 'db1' | 'db2'): Promise<void> {
  await withClient({ ...scene.rig.parts.addresses[part], database: 'postgres' }, (client) =>
    client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [scene.world.name]),
  );
}

const terminated = (part: 'db1' | 'db2'): Fault => ({
  uses: [part],
  inject: async (scene) => {
    await terminateBackends(scene, part);
    return () => terminateBackends(scene, part);
  },
});

/** Terminates the reader and drops its slot before it reconnects. */
const slotDropped: Fault = {
  uses: ['db1'],
  needsSlot: true,
  losesSlot: true,
  inject: async (scene) => {
    const slot = scene.world.name;
    await withClient(scene.db1Config, (client) =>
      eventually(async () => {
        await client.query('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1', [slot]);
        return client.query('SELECT pg_drop_replication_slot($1)', [slot]).then(
          () => true,
          (error: unknown) => (error as { code?: string }).code === '42704',
        );
      }),
    );
    return over;
  },
};

/** The server needs its disk space, and removes the slot's WAL. */
const slotInvalidated: Fault = {
  uses: ['db1', 'sync'],
  needsSlot: true,
  losesSlot: true,
  inject: async (scene) => {
    const { parts } = scene.rig;
    const since = parts.logLength('db1');
    const heal = (): Promise<void> => setServer(scene, 'RESET max_slot_wal_keep_size');
    try {
      await setServer(scene, `SET max_slot_wal_keep_size = '1MB'`);
      await withClient(scene.db1Config, (client) =>
        eventually(async () => {
          for (let i = 0; i < 3; i += 1) await client.query(`SELECT pg_logical_emit_message(false, 'nemesis', 'x'), pg_switch_wal()`);
          await client.query('CHECKPOINT');
          return parts.logSince('db1', since).includes('invalidating obsolete replication slot');
        }),
      );
    } catch (error) {
      await heal();
      throw error;
    }
    return heal;
  },
};

async function setServer(scene: Scene, setting: string): Promise<void> {
  await withClient(scene.db1Config, async (client) => {
    await client.query(`ALTER SYSTEM ${setting}`);
    await client.query('SELECT pg_reload_conf()');
  });
}

/** DB1 is replaced by its standby, which has no slots. */
const standbyPromoted: Fault = {
  uses: ['db1'],
  losesSlot: true,
  inject: async ({ rig: { parts } }) => {
    await parts.addStandby();
    return () => parts.switchOver();
  },
};

/** A program writes and keeps its transaction open. */
const longTransactionInDb1: Fault = {
  uses: ['db1'],
  inject: async (scene, random) => {
    const client = new Client(scene.db1Config);
    client.on('error', () => undefined);
    await client.connect();
    const id = `long-${random.below(1_000_000)}`;
    await client.query(`SELECT set_config('subscription_sync.reason', $1, false)`, [id]);
    await client.query('BEGIN');
    await client.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'active')`, [`${id}@example.com`]);
    return async () => {
      const operation = { id, by: 'sql' as const, what: 'long-transaction' };
      try {
        await client.query('COMMIT');
        scene.history.operation({ ...operation, outcome: 'ok', effects: [{ kind: 'changes', count: 1 }] });
      } catch (error) {
        scene.history.operation({ ...operation, outcome: 'info', effects: [], why: (error as Error).message });
      }
      await client.end().catch(() => undefined);
    };
  },
};

/** A lock on the table, as of an ALTER TABLE or a backup. */
const longTransactionInDb2: Fault = {
  uses: ['db2'],
  inject: async (scene) => {
    const client = new Client(configOf(scene, 'db2'));
    client.on('error', () => undefined);
    await client.connect();
    await client.query('BEGIN; LOCK TABLE subscriptions IN EXCLUSIVE MODE');
    return async () => {
      await client.query('ROLLBACK').catch(() => undefined);
      await client.end().catch(() => undefined);
    };
  },
};

const hugeTransaction: Fault = {
  uses: ['db1'],
  inject: async (scene) => {
    await makeRows(scene, 'huge', HUGE);
    return over;
  },
};

const diskFull: Fault = {
  uses: ['db2', 'db2-path', 'kafka', 'kafka-path', 'db1'],
  impossible: ({ disk }) => (typeof disk === 'string' ? disk : undefined),
  inject: async (scene) => {
    const { disk, parts } = scene.rig;
    if (typeof disk === 'string') throw new Error(disk);
    const since = parts.logLength('db2');
    disk.fill();
    const heal: Heal = async () => disk.free();
    try {
      await makeRows(scene, 'too-many', TOO_MANY);
      await eventually(() => parts.logSince('db2', since).includes('No space left on device'));
    } catch (error) {
      await heal();
      throw error;
    }
    return heal;
  },
};

/** Faults that operators, other programs and PostgreSQL itself cause in databases that keep running. */
export const databaseFaults: Faults = {
  'db1-terminated': terminated('db1'),
  'db2-terminated': terminated('db2'),
  'slot-dropped': slotDropped,
  'slot-invalidated': slotInvalidated,
  'standby-promoted': standbyPromoted,
  'db1-long-transaction': longTransactionInDb1,
  'db2-long-transaction': longTransactionInDb2,
  'huge-transaction': hugeTransaction,
  'db2-disk-full': diskFull,
};
