/**
 * The status-changed event: a CloudEvents 1.0 JSON envelope on the topic KAFKA_TOPIC, key = email.
 *
 * Its text is built once, by DB1's trigger, and forwarded untouched, so these types describe what is on the wire: names
 * are the columns' names. The published JSON Schema is {@link EVENT_SCHEMA}; readers accept unknown fields and statuses.
 */
export interface SubscriptionEvent {
  readonly specversion: '1.0';
  /** The version of the change, in decimal. The only ordering number (ADR 1). */
  readonly id: string;
  readonly source: string;
  readonly type: `subscription.${Operation}`;
  /** The email: the row's identity and the message's key. */
  readonly subject: string;
  /** When the change was made, RFC 3339 in UTC, microseconds. Never used for ordering. */
  readonly time: string;
  /** W3C trace context of the request that made the change. */
  readonly traceparent?: string;
  readonly data: {
    /** The whole row after the change; of a deletion, the row that was deleted, with the deletion's version. */
    readonly subscription: SubscriptionImage;
    /** The former values of the columns that changed. Empty unless the operation is `updated`, and where they are more than 1 MB. */
    readonly previous: Readonly<Record<string, unknown>>;
    readonly actor: string;
    readonly reason: string | null;
    readonly origin: 'api' | 'sql';
  };
}

export const OPERATIONS = ['created', 'updated', 'deleted', 'resynced'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** Of each record. */
export const EVENT_CONTENT_TYPE = 'application/cloudevents+json; charset=UTF-8';
export const EVENT_HEADERS = { 'content-type': EVENT_CONTENT_TYPE };

/** The row as it travels. Columns added later appear here without a release. */
export interface SubscriptionImage {
  readonly email: string;
  readonly status: string;
  readonly plan: string | null;
  /** RFC 3339. */
  readonly access_until: string | null;
  readonly cancel_at_period_end: boolean;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly version: number;
  readonly created_at: string;
  readonly updated_at: string;
  readonly [column: string]: unknown;
}

/** The pattern under which Nest handlers receive a partition's batch, whatever KAFKA_TOPIC is called. */
export const SUBSCRIPTION_EVENTS = 'subscription-events';
