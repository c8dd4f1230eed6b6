import { BUSINESS_COLUMN_LIST, type BusinessColumn, type BusinessValues } from './columns.js';

/**
 * The change event: a CloudEvents 1.0 JSON envelope on the topic KAFKA_TOPIC, key = email.
 *
 * Its text is made of a row of the change log (event-text.ts), so these types describe what is on the wire: names are the columns'
 * names. The published JSON Schema is {@link EVENT_SCHEMA}; readers accept unknown fields and statuses.
 */
export interface SubscriptionEvent {
  readonly specversion: '1.0';
  /** The version of the change, in decimal. The only ordering number (ADR 1). */
  readonly id: string;
  readonly source: string;
  readonly type: `subscription.${Operation}`;
  /** The email: the row's identity and the message's key. */
  readonly subject: string;
  /** Time of the change: RFC 3339 in UTC with microseconds. Never used for ordering. */
  readonly time: string;
  /** W3C trace context of the request that made the change. */
  readonly traceparent?: string;
  readonly data: {
    /** The whole row after the change; for a deletion, the deleted row. */
    readonly subscription: SubscriptionImage;
    /** The previous values of the changed columns. Empty unless the operation is `updated`, and where they are larger than 1 MB. */
    readonly previous: Readonly<Record<string, unknown>>;
    readonly actor: string;
    readonly reason: string | null;
    readonly origin: 'api' | 'sql';
  };
}

/**
 * The highest version: JSON numbers are exact up to here in every reader. The decoder refuses higher ones, and DB1's sequence ends here.
 */
export const MAX_VERSION = Number.MAX_SAFE_INTEGER;

export const OPERATIONS = ['created', 'updated', 'deleted', 'resynced'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** Content type of each record. */
export const EVENT_CONTENT_TYPE = 'application/cloudevents+json; charset=UTF-8';
export const EVENT_HEADERS = { 'content-type': EVENT_CONTENT_TYPE };
/** The header of a record that has the W3C trace context of the span which sent it, while that trace is sampled. */
export const TRACEPARENT_HEADER = 'traceparent';

/** The row as it travels. Columns added later appear here without a release. */
interface SubscriptionImage extends Readonly<BusinessValues> {
  readonly email: string;
  readonly created_at: string;
  readonly updated_at: string;
  readonly [column: string]: unknown;
}

/** The pattern under which Nest handlers receive a partition's batch, whatever KAFKA_TOPIC is called. */
export const SUBSCRIPTION_EVENTS = 'subscription-events';

/** Any JSON is accepted for an object: other programs' SQL may store other values in a jsonb column. */
function valueSchema({ kind, nullable }: BusinessColumn): object {
  if (kind === 'object') return {};
  const type = kind === 'boolean' ? 'boolean' : 'string';
  return { type: nullable ? [type, 'null'] : type };
}

/**
 * JSON Schema (2020-12) of the event, on which any reader may rely. It is open on purpose: a reader must accept unknown fields, and any
 * status that other programs wrote. Within a major version fields are only added. docs/subscription-event.schema.json is a copy of it.
 */
export const EVENT_SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: 'urn:subscription-sync:event:1',
  title: 'Subscription event',
  description: 'A CloudEvents 1.0 JSON envelope. The Kafka message key is the subject.',
  type: 'object',
  required: ['specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'data'],
  properties: {
    specversion: { const: '1.0' },
    id: {
      type: 'string',
      pattern: '^[1-9][0-9]*$',
      description: 'The version: the only ordering number. At most 2^53 - 1.',
    },
    source: { type: 'string', format: 'uri-reference', minLength: 1 },
    type: { enum: OPERATIONS.map((operation) => `subscription.${operation}`) },
    subject: { type: 'string', minLength: 1, description: 'The email: trimmed, lower case, NFC.' },
    time: { type: 'string', format: 'date-time', description: 'Time of the change, UTC. Not for ordering.' },
    datacontenttype: { const: 'application/json' },
    traceparent: { type: 'string', description: 'W3C trace context of the request that made the change.' },
    data: {
      type: 'object',
      required: ['subscription', 'previous', 'actor', 'reason', 'origin'],
      properties: {
        subscription: {
          type: 'object',
          description:
            'The whole row after the change; for a deletion, the deleted row. Its fields are the columns of the table in Database 1: those below, where the service created the table.',
          properties: {
            email: { type: 'string', minLength: 1 },
            ...Object.fromEntries(BUSINESS_COLUMN_LIST.map(([name, column]) => [name, valueSchema(column)])),
            created_at: { type: 'string' },
            updated_at: { type: 'string' },
          },
        },
        previous: {
          type: 'object',
          description:
            'The previous values of the changed columns; empty unless the event is an update, and where they are larger than 1 MB.',
        },
        actor: { type: 'string' },
        reason: { type: ['string', 'null'] },
        origin: { type: 'string', description: '`api`, or `sql` for any other program.' },
      },
    },
  },
} as const;

/** Email of the canary (docs/operating/runbook.md). It is only ever deleted, so it is in the log and the topic but in no table. */
export const CANARY_EMAIL = 'canary@subscription-sync.invalid';

/** Email of erased changes (docs/privacy.md), which are deletions in the log alone. */
export const ERASED_EMAIL = 'erased@subscription-sync.invalid';
