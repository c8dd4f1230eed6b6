import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Registry } from 'prom-client';
import { DEFAULT_MAPPING, DEFAULT_TIMINGS, type Settings } from '#config';
import type { PartitionBatch } from '#kafka';
import { type Database, describeTable, queryPrepared } from '#postgres';
import { eventually } from '../../../test/harness/eventually.js';
import { batchOf, changeOf, historyArbitrary, lastOf, nextRecord as next, type TestChange } from '../../../test/harness/history.js';
import { eventOf, openDb2, type ReplicaState, replicaStateOf, stateAfter } from '../../../test/harness/replica-state.js';
import { lockWaits, World } from '../../../test/harness/world.js';
import { ApplyChanges } from './apply-changes.js';
import { buildApplyStatement, rowsOf } from './apply-statement.js';
import { ReplicaMetrics } from './replica-metrics.js';
import { appliedLately, FORGET_CHANGES, forgetLately } from './replica-queries.js';
import { ReplicaTable } from './replica-table.js';
import { replicatedColumns } from './replicated-columns.js';

let world: World;
let db2: Database;
let changes: ApplyChanges;

beforeAll(async () => {
  world = await World.create();
  db2 = await openDb2(world);
});
beforeEach(() => {
  changes = newWorker();
});
afterAll(async () => {
  await db2.dataSource.destroy();
  await world.close();
});

function newWorker(): ApplyChanges {
  return new ApplyChanges(
    db2,
    new ReplicaTable(DEFAULT_TIMINGS, { mapping: DEFAULT_MAPPING }),
    new ReplicaMetrics(new Registry(), db2, {} as Settings, DEFAULT_TIMINGS),
    { kafka: undefined },
  );
}

describe('any permutation, duplication and regrouping of histories equals the sorted history', () => {
  type Apply = (batches: readonly (readonly TestChange[])[]) => Promise<unknown>;

  const inOrder: Apply = async (batches) => {
    for (const batch of batches) await changes.apply(batchOf(batch.map(next)));
  };
  /** As from one response of Kafka: the batches share a transaction. */
  const together: Apply = (batches) => Promise.all(batches.map((batch, partition) => changes.apply(batchOf(batch.map(next), partition))));
  const atOnce =
    (partitions: readonly number[]): Apply =>
    (batches) => {
      const workers = partitions.map((partition) => ({ partition, worker: newWorker() }));
      return Promise.all(
        batches.map((batch, i) => {
          const { worker, partition } = workers[i % workers.length]!;
          return worker.apply(batchOf(batch.map(next), partition));
        }),
      );
    };

  /** Applies some batches as redrives of single records, and copies the rows of some before their events arrive. */
  const besideOthers: Apply = (batches) => {
    const [first, second, redriver] = [newWorker(), newWorker(), newWorker()];
    return Promise.all(
      batches.map(async (batch, i) => {
        if (i % 4 === 0) return first.apply(batchOf(batch.map(next), 0));
        if (i % 4 === 1) return second.apply(batchOf(batch.map(next), 1));
        if (i % 4 === 2) await copy(batch);
        for (const change of batch) await db2.dataSource.transaction((manager) => redriver.applyOne(manager, eventOf(change)));
      }),
    );
  };

  /** Copies rows as a backfill does. */
  async function copy(batch: readonly TestChange[]): Promise<void> {
    const live = new Map(batch.filter(({ operation }) => operation !== 'deleted').map((change) => [change.email, eventOf(change)]));
    const { manager } = db2.dataSource;
    const columns = live.values().next().value?.columns;
    await queryPrepared(
      manager,
      await new ReplicaTable(DEFAULT_TIMINGS, { mapping: DEFAULT_MAPPING }).applyStatement(manager, columns, false),
      rowsOf([...live.values()]),
    );
  }

  test.each<[string, Apply]>([
    ['one worker', inOrder],
    ['one worker, all batches together', together],
    ['two workers on one partition', atOnce([0, 0])],
    ['two workers on two partitions', atOnce([0, 1])],
    ['two workers beside a redrive and a backfill', besideOthers],
  ])('%s', async (name, apply) => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(historyArbitrary, async ({ histories, batches }) => {
        run += 1;
        const unique = (change: TestChange): TestChange => ({ ...change, email: `${name}-${run}-${change.email}` });
        await apply(batches.map((batch) => batch.map(unique)));
        for (const history of histories) {
          const last = unique(lastOf(history));
          expect(await replicaStateOf(world, last.email)).toEqual(stateAfter(last));
        }
      }),
      { numRuns: 120 },
    );
  });
});

test('rows that another program deletes, inserts or changes are overwritten by the next change of their email, and by nothing else', async () => {
  const email = fc.constantFrom('a', 'b');
  const byHand = fc.record({ email, hand: fc.constantFrom('delete', 'insert', 'update') });
  // A version is one change.
  const change = fc.record({ email, version: fc.integer({ min: 1, max: 7 }) }).map(({ email: name, version }): TestChange => ({
    email: name,
    version,
    operation: version % 3 === 0 ? 'deleted' : 'updated',
    status: `v${version}`,
  }));
  const BY_HAND = {
    delete: 'DELETE FROM subscriptions WHERE email = $1',
    insert: `INSERT INTO subscriptions (email, status) VALUES ($1, 'hand') ON CONFLICT DO NOTHING`,
    update: `UPDATE subscriptions SET status = 'hand' WHERE email = $1`,
  };
  const statusByHand = {
    delete: () => null,
    insert: (status: string | null) => status ?? 'hand',
    update: (status: string | null) => status && 'hand',
  };
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(byHand, fc.array(change, { minLength: 1, maxLength: 4 })), { maxLength: 12 }), async (steps) => {
      run += 1;
      const expected = new Map<string, ReplicaState>(['a', 'b'].map((name) => [name, { status: null, version: null, deleted: false }]));
      for (const step of steps) {
        if ('hand' in step) {
          const before = expected.get(step.email)!;
          expected.set(step.email, { ...before, status: statusByHand[step.hand](before.status) });
          await world.db2.query(BY_HAND[step.hand], [`hand-${run}-${step.email}`]);
          continue;
        }
        await changes.apply(batchOf(step.map((event) => next({ ...event, email: `hand-${run}-${event.email}` }))));
        for (const event of step) {
          if (event.version > (expected.get(event.email)!.version ?? 0)) expected.set(event.email, stateAfter(event));
        }
      }
      for (const [name, state] of expected) expect(await replicaStateOf(world, `hand-${run}-${name}`)).toEqual(state);
    }),
    { numRuns: 150 },
  );
});

describe('an applier that waits for another one of the same email goes on with what that one has committed', () => {
  const row = (version: number, operation: TestChange['operation']): Omit<TestChange, 'email'> => ({
    version,
    operation,
    status: `v${version}`,
  });

  test.each<[string, Omit<TestChange, 'email'>[], Omit<TestChange, 'email'>, Omit<TestChange, 'email'>]>([
    ['it deletes a row that the other one has inserted', [], row(1, 'created'), row(2, 'deleted')],
    ['it deletes a row that the other one has updated', [row(1, 'created')], row(2, 'updated'), row(3, 'deleted')],
    [
      'it deletes a row that the other one has inserted again',
      [row(1, 'created'), row(2, 'deleted')],
      row(3, 'created'),
      row(4, 'deleted'),
    ],
    ['it updates a row that the other one has inserted', [], row(1, 'created'), row(2, 'updated')],
    ['it updates a row that the other one has updated', [row(1, 'created')], row(2, 'updated'), row(3, 'updated')],
    ['it inserts a row that the other one has deleted', [row(1, 'created')], row(2, 'deleted'), row(3, 'created')],
    ['its deletion is older', [], row(3, 'created'), row(2, 'deleted')],
    ['its row is older than a deletion', [row(1, 'created')], row(3, 'deleted'), row(2, 'updated')],
  ])('%s', async (name, before, first, second) => {
    const email = `${name}@example.com`;
    for (const change of before) await changes.apply(batchOf([next({ ...change, email })]));
    let waiting: Promise<void> | undefined;
    await db2.dataSource.transaction(async (manager) => {
      await changes.applyOne(manager, eventOf({ ...first, email }));
      waiting = newWorker().apply(batchOf([next({ ...second, email })], 1));
      await eventually(async () => (await lockWaits(world.db2, world.name)).length > 0);
    });
    await waiting;
    expect(await replicaStateOf(world, email)).toEqual(stateAfter({ ...(first.version > second.version ? first : second), email }));
  });
});

test('changes are forgotten without waiting for a batch that replaces one of them', async () => {
  const topic = 'forgotten';
  const sample = (partition: number): PartitionBatch => ({
    ...batchOf([next(changeOf(`forgotten-${partition}@example.com`, 1))], partition),
    topic,
  });
  for (const partition of [0, 1]) await changes.apply(sample(partition));
  const partitions = async (): Promise<number[]> => (await appliedLately(db2.dataSource, topic)).map(({ partition }) => partition);
  const known = [0, 1].map((partition) => ({ partition, version: 1 }));
  await db2.dataSource.transaction(async (manager) => {
    await manager.query('SELECT FROM subscription_sync.applied_lately WHERE topic = $1 AND partition = 0 FOR UPDATE', [topic]);
    await forgetLately(db2.dataSource, topic, known);
    expect(await partitions()).toEqual([0]);
  });
  await forgetLately(db2.dataSource, topic, known);
  expect(await partitions()).toEqual([]);
});

test('a change that is to be forgotten is found by its place, also when the planner expects few changes', async () => {
  await db2.dataSource.transaction(async (manager) => {
    for (const way of ['hashjoin', 'mergejoin', 'seqscan']) await manager.query(`SET LOCAL enable_${way} = off`);
    const plan = await manager.query<{ 'QUERY PLAN': string }[]>(`EXPLAIN ${FORGET_CHANGES}`, ['topic', '[]']);
    const text = plan.map((line) => line['QUERY PLAN']).join('\n');
    expect(text.match(/Index Scan using applied_lately_pkey/g)).toHaveLength(2);
    expect(text).not.toContain('Join Filter');
  });
});

test('a change that is delivered again writes nothing', async () => {
  const email = 'again@example.com';
  const PLACE = `SELECT a.xmin, a.ctid, s.xmin AS row FROM subscription_sync.applied a JOIN subscriptions s USING (email) WHERE email = $1`;
  await changes.apply(batchOf([next(changeOf(email, 5))]));
  const before = await world.db2.query(PLACE, [email]);
  await changes.apply(batchOf([next(changeOf(email, 5))]));
  expect((await world.db2.query(PLACE, [email])).rows).toEqual(before.rows);
  expect(before.rows).toHaveLength(1);
});

test('the statement goes by the indexes, also when it is planned for a small table', async () => {
  await world.db2.query('ANALYZE subscriptions');
  const table = await describeTable((sql, values) => db2.query(sql, values), 'DB2', DEFAULT_MAPPING.db2);
  const columns = replicatedColumns(table, DEFAULT_MAPPING, undefined);
  const text = await genericPlan(buildApplyStatement(table, columns, true));
  expect(text).toContain('Index Scan using subscriptions_pkey');
  expect(text).not.toMatch(/Seq Scan on subscriptions|Hash Join|Merge Join/);
  expect(text.match(/hashed SubPlan/g)).toHaveLength(2);
});

/** Returns the plan of a prepared statement that does not depend on its parameters. EXPLAIN (GENERIC_PLAN) exists from version 16 on. */
async function genericPlan(statement: string): Promise<string> {
  const parameters = new Set(statement.match(/\$\d+/g)).size;
  // A session of the service, which has planner settings of its own.
  return db2.dataSource.transaction(async (manager) => {
    await manager.query('SET LOCAL plan_cache_mode = force_generic_plan');
    await manager.query(`PREPARE planned AS ${statement}`);
    const values = Array.from({ length: parameters }, () => 'NULL').join(', ');
    const plan = await manager.query<Record<string, string>[]>(`EXPLAIN EXECUTE planned (${values})`);
    await manager.query('DEALLOCATE planned');
    return plan.map((line) => line['QUERY PLAN']).join('\n');
  });
}
