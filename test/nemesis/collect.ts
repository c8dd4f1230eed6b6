import { eventText, LOGGED_COLUMNS, type LoggedChange as Logged } from '#events';
import { DB2_ROWS } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import type { Evidence, FoundRecord, LiveRow, LoggedChange, StoredRow } from './evidence.js';
import type { Scene } from './scene.js';
import { endsOf, putRecords, readTopic, type TopicRecord } from './topic.js';
import { Random } from '../harness/random-operations.js';

/** Maximum number of records that are published again at the end. */
const REPLAYED = 20_000;
const APPLIED_WITHIN_MS = 30_000;

const TEXT = `concat_ws(' | ', email, status, plan, access_until, cancel_at_period_end, metadata, created_at, updated_at)`;
/** The version of a row in DB1 is that of the newest change whose image it is. */
const LIVE1 = `
SELECT email, ${TEXT} AS text, coalesce((
  SELECT c.version FROM subscription_sync.changes c WHERE c.email = s.email AND c.image::jsonb = to_jsonb(s) ORDER BY c.version DESC LIMIT 1
), 0) AS version
FROM subscriptions s ORDER BY email COLLATE "C"`;
const LIVE2 = `SELECT email, version, ${TEXT} AS text FROM ${DB2_ROWS} ORDER BY email COLLATE "C"`;

const STORED = `
SELECT a.email, a.version, concat_ws(' ', a.xmin, a.ctid, s.xmin, s.ctid) AS place
FROM subscription_sync.applied a LEFT JOIN subscriptions s ON s.email = a.email`;

const LOG = `
SELECT version, operation, email, coalesce(traceparent, reason) AS id, txid::text AS txid,
       image::json ->> 'status' AS status, image::json ->> 'plan' AS plan
FROM subscription_sync.changes ORDER BY version`;

type Pool = Scene['world']['db1'];

type Final = Pick<
  Evidence,
  'log' | 'db1' | 'db2' | 'stored' | 'storedAfterReplay' | 'setbacks' | 'topic' | 'letters' | 'unpublishable' | 'passes'
>;

/** Publishes all records of the topic again in another order, and reads the final state of all parts. */
export async function collectFinal(scene: Scene, seed: number): Promise<Final> {
  const { db1, db2 } = scene.world;
  await everythingApplied(scene);
  const stored = await storedRows(db2);
  const records = await readTopic(scene);
  await putRecords(scene, new Random(seed).shuffled(records.slice(-REPLAYED)));
  await everythingApplied(scene);
  const [log, live1, live2, storedAfterReplay, setbacks, letters, unpublishable, passes, topic] = await Promise.all([
    loggedChanges(db1),
    liveRows(db1, LIVE1),
    liveRows(db2, LIVE2),
    storedRows(db2),
    rowsOf<{ email: string; before: string; after: string | null }>(db2, 'SELECT * FROM setbacks'),
    rowsOf<{ partition: number; offset: string; error_class: string }>(
      db2,
      'SELECT partition, "offset", error_class FROM subscription_sync.dead_letters',
    ),
    rowsOf<{ version: string }>(db1, 'SELECT version FROM subscription_sync.unpublishable_changes'),
    rowsOf<{ reason: string; repaired: string }>(db1, 'SELECT reason, repaired FROM subscription_sync.reconciliation_runs'),
    readTopic(scene),
  ]);
  return {
    log,
    db1: live1,
    db2: live2,
    stored,
    storedAfterReplay,
    setbacks: setbacks.map(({ email, before, after }) => ({ email, before: Number(before), after: after === null ? null : Number(after) })),
    letters: letters.map((letter) => ({ ...letter, offset: Number(letter.offset) })),
    unpublishable: unpublishable.map(({ version }) => Number(version)),
    passes: passes.map(({ reason, repaired }) => ({ reason, repaired: Number(repaired) })),
    topic: await recognised(db1, topic),
  };
}

/** Resolves when DB2 has applied the last record of each partition, or after a timeout; then the checks report what is missing. */
async function everythingApplied(scene: Scene): Promise<void> {
  const ends = await endsOf(scene);
  await eventually(async () => {
    const rows = await rowsOf<{ partition: number; offset: string }>(
      scene.world.db2,
      'SELECT partition, "offset" FROM subscription_sync.positions',
    );
    const applied = new Map(rows.map(({ partition, offset }) => [partition, Number(offset)]));
    return [...ends].every(([partition, end]) => end === 0 || applied.get(partition) === end - 1);
  }, APPLIED_WITHIN_MS).catch(() => undefined);
}

/** Adds the versions of the records that are events of the log. */
async function recognised(db1: Pool, records: readonly TopicRecord[]): Promise<FoundRecord[]> {
  const columns = LOGGED_COLUMNS.join(', ');
  const rows = await rowsOf<Logged>(db1, `SELECT ${columns}, occurred_at::text FROM subscription_sync.changes`);
  const versions = new Map(rows.map((row) => [eventText(row), Number(row.version)]));
  return records.map(({ partition, offset, value }) => ({
    partition,
    offset,
    version: value === null ? undefined : versions.get(value.toString()),
  }));
}

async function loggedChanges(db1: Pool): Promise<LoggedChange[]> {
  const rows = await rowsOf<Omit<LoggedChange, 'version' | 'txid'> & { version: string; txid: string }>(db1, LOG);
  return rows.map((row) => ({ ...row, version: Number(row.version), txid: Number(row.txid) }));
}

async function liveRows(pool: Pool, sql: string): Promise<LiveRow[]> {
  const rows = await rowsOf<{ email: string; version: string; text: string }>(pool, sql);
  return rows.map((row) => ({ ...row, version: Number(row.version) }));
}

async function storedRows(db2: Pool): Promise<StoredRow[]> {
  const rows = await rowsOf<{ email: string; version: string; place: string }>(db2, STORED);
  return rows.map((row) => ({ ...row, version: Number(row.version) }));
}

async function rowsOf<Row extends object>(pool: Pool, text: string): Promise<Row[]> {
  return (await pool.query<Row>(text)).rows;
}
