import { expect, test } from '@jest/globals';
import { eventually } from '../../../test/harness/eventually.js';
import { Publisher } from './publisher.js';

test('a publisher that was aborted no longer reports that it waits for Kafka: another process may publish by then', async () => {
  const publisher = new Publisher({
    // No process listens on this port.
    brokers: ['127.0.0.1:1'],
    topic: 'nowhere',
    partitions: 1,
    replicationFactor: 1,
    minInsyncReplicas: 1,
    groupId: 'nobody',
    sessionTimeoutMs: 10_000,
  });
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
