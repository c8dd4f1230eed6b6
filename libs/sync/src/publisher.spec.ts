import { expect, test } from '@jest/globals';
import { DEFAULT_TIMINGS, type KafkaSettings } from '#config';
import { eventually } from '../../../test/harness/eventually.js';
import { producerFactory, Publisher } from './publisher.js';

test('a publisher that was aborted no longer reports that it waits for Kafka: another process may publish by then', async () => {
  const settings: KafkaSettings = {
    // No process listens on this port.
    brokers: ['127.0.0.1:1'],
    security: { protocol: 'PLAINTEXT', tls: undefined, sasl: undefined },
    signing: undefined,
    topic: 'nowhere',
    partitions: 1,
    replicationFactor: 1,
    minInsyncReplicas: 1,
    groupId: 'nobody',
    sessionTimeoutMs: 10_000,
  };
  const publisher = new Publisher(settings, DEFAULT_TIMINGS, producerFactory(settings, DEFAULT_TIMINGS.kafka));
  const lease = new AbortController();
  const change = { version: 1, email: 'ada@example.com', event: Buffer.from('{}'), occurredAt: new Date().toISOString() };
  const published = publisher.publish([change], lease.signal);
  published.catch(() => undefined);
  await eventually(() => Promise.resolve(publisher.failure !== undefined), 30_000);
  lease.abort(new Error('the lease is gone'));
  await expect(published).rejects.toThrow();
  expect(publisher.failure).toBeUndefined();
  await publisher.close();
});
