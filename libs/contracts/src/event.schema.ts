import { OPERATIONS } from './event.js';

/**
 * JSON Schema (2020-12) of the event, as any reader may rely on it. Open by intent: a reader must accept unknown fields, and any
 * status that other programs wrote. Within a major version fields are only added. A copy is published as
 * docs/subscription-event.schema.json.
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
      description: 'The version: the only ordering number. Equal to data.subscription.version.',
    },
    source: { type: 'string', format: 'uri-reference', minLength: 1 },
    type: { enum: OPERATIONS.map((operation) => `subscription.${operation}`) },
    subject: { type: 'string', minLength: 1, description: 'The email: trimmed, lower case, NFC.' },
    time: { type: 'string', format: 'date-time', description: 'When the change was made, UTC. Not for ordering.' },
    datacontenttype: { const: 'application/json' },
    traceparent: { type: 'string', description: 'W3C trace context of the request that made the change.' },
    data: {
      type: 'object',
      required: ['subscription', 'previous', 'actor', 'reason', 'origin'],
      properties: {
        subscription: {
          type: 'object',
          description: 'The whole row after the change; of a deletion, the row as it was, with the version of the deletion.',
          required: ['email', 'status', 'plan', 'access_until', 'cancel_at_period_end', 'metadata', 'version', 'created_at', 'updated_at'],
          properties: {
            email: { type: 'string', minLength: 1 },
            status: { type: 'string' },
            plan: { type: ['string', 'null'] },
            access_until: { type: ['string', 'null'] },
            cancel_at_period_end: { type: 'boolean' },
            metadata: {},
            version: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
            created_at: { type: 'string' },
            updated_at: { type: 'string' },
          },
        },
        previous: {
          type: 'object',
          description: 'The former values of the columns that changed; empty unless updated, and where they are more than 1 MB.',
        },
        actor: { type: 'string' },
        reason: { type: ['string', 'null'] },
        origin: { type: 'string', description: '`api`, or `sql` for any other program.' },
      },
    },
  },
} as const;
