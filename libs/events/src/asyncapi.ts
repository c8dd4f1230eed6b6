import { SIGNATURE_HEADER } from './event-signature.js';
import { EVENT_CONTENT_TYPE, EVENT_HEADERS, EVENT_SCHEMA, type Operation, OPERATIONS, TRACEPARENT_HEADER } from './subscription-event.js';

/** Properties of the topic that this library does not know. */
export interface TopicDescription {
  /** The default of KAFKA_TOPIC. */
  readonly topic: string;
  /** `host:port` of `npm start`'s Kafka. */
  readonly broker: string;
  /** The email of the record that measures the pipeline. */
  readonly canary: string;
  /** An event of each operation. */
  readonly examples: Readonly<Record<Operation, object>>;
}

const SUMMARIES: Readonly<Record<Operation, string>> = {
  created: 'A subscription was created, or has got this email instead of another one',
  updated: 'A subscription was changed; `data.previous` has the previous values',
  deleted: 'A subscription was deleted. It is an event, not a null value: remember its version, or a late event would restore the row',
  resynced: 'The current row, published again by a repair or by a backfill of all rows',
};

/** Returns the AsyncAPI 3 document of the topic. The payload's schema is {@link EVENT_SCHEMA} without the two members that identify it as JSON Schema. */
export function asyncApiDocument({ topic, broker, canary, examples }: TopicDescription): object {
  const { $schema: _, $id, ...schema } = EVENT_SCHEMA;
  const nameOf = (operation: Operation): string => `subscription.${operation}`;
  const refs = (place: string): object[] => OPERATIONS.map((operation) => ({ $ref: `${place}/${nameOf(operation)}` }));
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'subscription-sync',
      version: '1.0.0',
      license: { name: 'MIT', url: 'https://opensource.org/license/mit' },
      description: `Every committed change of a subscription in Database 1, as a CloudEvents 1.0 JSON envelope.

- Delivery is at least once. Keep the highest version (\`id\`) you have seen for each email, and skip what is not higher. Never order by \`time\`.
- Events of one email are on one partition, in the order in which they were published.
- A change of the email is two events: \`deleted\` for the old one, \`created\` for the new one.
- There are no null values. Readers that keep a table keep deleted emails with their version.
- \`subject\` may be \`${canary}\`: a deletion that measures the pipeline and is not a subscription.
- Accept unknown fields and unknown statuses. Within a major version fields are only added.

The payload as JSON Schema 2020-12 is \`${$id}\`, docs/subscription-event.schema.json.`,
    },
    defaultContentType: EVENT_CONTENT_TYPE,
    servers: {
      standalone: {
        host: broker,
        protocol: 'kafka',
        description: 'The broker that `npm start` starts; elsewhere the brokers of `KAFKA_SERVER`',
      },
    },
    channels: {
      subscriptionEvents: {
        address: topic,
        title: 'Subscription events',
        description: '`KAFKA_TOPIC`. Not compacted: a deletion is an event like any other.',
        messages: Object.fromEntries(
          OPERATIONS.map((operation) => [nameOf(operation), { $ref: `#/components/messages/${nameOf(operation)}` }]),
        ),
        bindings: { kafka: { topic, topicConfiguration: { 'cleanup.policy': ['delete'] }, bindingVersion: '0.5.0' } },
      },
    },
    operations: {
      publishChanges: {
        action: 'send',
        channel: { $ref: '#/channels/subscriptionEvents' },
        summary: 'The sync role publishes each change, acknowledged by all in-sync replicas',
        messages: refs('#/channels/subscriptionEvents/messages'),
      },
      applyChanges: {
        action: 'receive',
        channel: { $ref: '#/channels/subscriptionEvents' },
        summary: 'The replica role applies the changes to Database 2',
        messages: refs('#/channels/subscriptionEvents/messages'),
      },
    },
    components: {
      messages: Object.fromEntries(
        OPERATIONS.map((operation) => [
          nameOf(operation),
          {
            name: nameOf(operation),
            title: `Subscription ${operation}`,
            summary: SUMMARIES[operation],
            contentType: EVENT_CONTENT_TYPE,
            headers: { $ref: '#/components/schemas/Headers' },
            payload: {
              allOf: [
                { $ref: '#/components/schemas/SubscriptionEvent' },
                { type: 'object', properties: { type: { const: nameOf(operation) } } },
              ],
            },
            bindings: { kafka: { key: { $ref: '#/components/schemas/Key' }, bindingVersion: '0.5.0' } },
            examples: [{ name: operation, headers: EVENT_HEADERS, payload: examples[operation] }],
          },
        ]),
      ),
      schemas: {
        Key: {
          type: 'string',
          description: 'The email, UTF-8: trimmed, lower case, NFC. Equal to `subject`.',
          examples: ['ada@example.com'],
        },
        Headers: {
          type: 'object',
          required: Object.keys(EVENT_HEADERS),
          properties: {
            ...Object.fromEntries(Object.entries(EVENT_HEADERS).map(([name, value]) => [name, { type: 'string', const: value }])),
            [SIGNATURE_HEADER]: {
              type: 'string',
              pattern: '^hmac-sha256=[A-Za-z0-9+/]{43}=$',
              description:
                'With `EVENT_SIGNING_KEY`: the HMAC-SHA256, in base64, of the number of bytes of the key in decimal, a colon, the key, and the value.',
            },
            [TRACEPARENT_HEADER]: {
              type: 'string',
              pattern: '^00-[0-9a-f]{32}-[0-9a-f]{16}-01$',
              description:
                'While the service exports traces and the trace of the change is sampled: the W3C trace context of the span that sent the record. Its parent is the `traceparent` of the value.',
            },
          },
        },
        SubscriptionEvent: schema,
      },
    },
  };
}
