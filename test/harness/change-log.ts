import { readFileSync } from 'node:fs';
import addFormats from 'ajv-formats';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { Pool } from 'pg';
import { decodeEvent } from '#events';

/** A row of DB1's change log, its event parsed. */
export interface LoggedChange {
  readonly version: number;
  readonly operation: string;
  readonly email: string;
  readonly actor: string;
  readonly reason: string | null;
  readonly origin: string;
  readonly application_name: string | null;
  readonly traceparent: string | null;
  /** The event's text. */
  readonly event: string;
  readonly image: Readonly<Record<string, unknown>>;
  readonly previous: Readonly<Record<string, unknown>>;
}

const ajv = new Ajv2020();
addFormats.default(ajv);
const fitsSchema = ajv.compile(JSON.parse(readFileSync('docs/subscription-event.schema.json', 'utf8')) as object);

/** The log in order. Throws when an event does not fit the published schema, or the reader of the topic would not take it. */
export async function changesOf(db1: Pool): Promise<LoggedChange[]> {
  const { rows } = await db1.query<Omit<LoggedChange, 'image' | 'previous'>>(
    `SELECT version::int, operation, email, actor, reason, origin, application_name, traceparent, event
     FROM subscription_changes ORDER BY version`,
  );
  return rows.map((row) => {
    const event = JSON.parse(row.event) as { data: { subscription: Record<string, unknown>; previous: Record<string, unknown> } };
    if (!fitsSchema(event)) throw new Error(`Not by the schema: ${ajv.errorsText(fitsSchema.errors)}: ${row.event}`);
    const read = decodeEvent(Buffer.from(row.email), Buffer.from(row.event));
    if (read.version !== row.version || read.operation !== row.operation) throw new Error(`Read as something else: ${row.event}`);
    return { ...row, image: event.data.subscription, previous: event.data.previous };
  });
}

/** What happened to whom, in order: `created ada@example.com`. */
export async function storyOf(db1: Pool): Promise<string[]> {
  return (await changesOf(db1)).map(({ operation, email }) => `${operation} ${email}`);
}
