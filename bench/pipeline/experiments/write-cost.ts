import { BARE_TABLE } from '../contenders/native.js';
import type { Entry, Experiment } from '../experiment.js';
import { inTransactions } from '../measure.js';
import { createDatabases, dropDatabases, type Stand } from '../pipeline.js';
import type { Figures } from '../results.js';
import { ServicePipeline } from '../service-pipeline.js';
import { CLIENTS, SqlWriter } from '../sql-writer.js';

const OUTBOX = `
CREATE TABLE outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email text NOT NULL,
  event jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
)`;

/** An application that writes an event to a table of its own in the same transaction, in a single statement: the cheapest way. */
class OutboxWriter extends SqlWriter {
  protected override statement(update: string): string {
    return `WITH written AS (${update} RETURNING *) INSERT INTO outbox (email, event) SELECT email, to_jsonb(written) FROM written`;
  }
}

/** Measures what the writer of Database 1 pays. No pipeline runs. */
export const WRITE_COST: Experiment = {
  workloads: ['write-cost'],
  setting: 'plain',
  tables: [
    {
      name: 'write-cost',
      title: 'Cost of writing in Database 1',
      description: 'Updates of single rows by 32 clients, and of 1,000 rows in one transaction by one client. No pipeline runs.',
      columns: [
        { heading: 'single rows/s', figure: 'single', digits: 0 },
        { heading: 'µs a row in bulk', figure: 'bulk', digits: 1 },
      ],
      chart: { unit: 'single rows/s', figures: [['single', 'rows/s']] },
    },
  ],
  entries: ({ sizes }) => [
    entry('bare table', sizes, async (database, stand) => prepareTable(database, stand, BARE_TABLE, SqlWriter)),
    entry('this service', sizes, async (database, { servers }) => {
      const pipeline = await ServicePipeline.prepare(database, ['api,sync,replica'], 'wal', servers);
      return { writer: pipeline.writer, close: () => pipeline.close() };
    }),
    entry('outbox written by the application', sizes, (database, stand) =>
      prepareTable(database, stand, BARE_TABLE + ';' + OUTBOX, OutboxWriter),
    ),
  ],
};

interface WrittenTable {
  readonly writer: SqlWriter;
  readonly close: () => Promise<void>;
}

interface Amounts {
  readonly changes: number;
  readonly seconds: number;
}

function entry(row: string, amounts: Amounts, prepare: (database: string, stand: Stand) => Promise<WrittenTable>): Entry {
  return {
    row,
    measure: async (database, stand, results) => {
      const { writer, close } = await prepare(database, stand);
      try {
        results.add('write-cost', row, await measureWrites(writer, amounts));
      } finally {
        await close();
      }
    },
  };
}

async function prepareTable(database: string, { servers }: Stand, schema: string, Writes: typeof SqlWriter): Promise<WrittenTable> {
  const databases = await createDatabases(database, servers);
  const writer = new Writes(databases[0]);
  await databases[0].query(schema);
  return {
    writer,
    close: async () => {
      await writer.close();
      await dropDatabases(database, databases, servers);
    },
  };
}

async function measureWrites(writer: SqlWriter, { changes, seconds }: Amounts): Promise<Figures> {
  await inTransactions(changes, (from, to) => writer.insert(from, to));
  const begun = performance.now();
  await inTransactions(changes, (from, to) => writer.setStatus(from, to, 'paused'));
  const bulk = ((performance.now() - begun) * 1_000) / changes;
  let written = 0;
  const started = performance.now();
  const client = async (lane: number): Promise<void> => {
    const rows = Math.floor(changes / CLIENTS);
    while (performance.now() < started + seconds * 1_000)
      await writer.setPlan(1 + lane + CLIENTS * Math.floor(Math.random() * (rows - 1)), `plan ${++written}`);
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, lane) => client(lane)));
  return { bulk, single: written / ((performance.now() - started) / 1_000) };
}
