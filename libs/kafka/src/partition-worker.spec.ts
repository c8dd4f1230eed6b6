import { expect, test } from '@jest/globals';
import type { EachBatchPayload, OffsetsByTopicPartition } from 'kafkajs';
import { DEFAULT_TIMINGS } from '#config';
import { eventually } from '../../../test/harness/eventually.js';
import { PartitionWorkers } from './partition-worker.js';

/** Kafka's side of the workers: answers commits with these errors, then accepts them. */
class Commits {
  readonly attempts: string[] = [];

  constructor(private readonly errors: Error[]) {}

  /** Returns a batch of one record, as kafkajs hands it over. */
  batchOf(partition: number, offset: string): EachBatchPayload {
    const message = { key: null, value: null, offset, timestamp: '0', attributes: 0 };
    const commitOffsetsIfNecessary = (offsets?: OffsetsByTopicPartition): Promise<void> => {
      this.attempts.push(offsets!.topics[0]!.partitions.map((each) => `${each.partition}:${each.offset}`).join());
      const error = this.errors.shift();
      return error ? Promise.reject(error) : Promise.resolve();
    };
    return {
      batch: { topic: 'topic', partition, messages: [message] },
      commitOffsetsIfNecessary,
      resolveOffset: () => undefined,
      isRunning: () => true,
      isStale: () => false,
    } as unknown as EachBatchPayload;
  }
}

function workersOf(partitions: readonly number[]): PartitionWorkers {
  const workers = new PartitionWorkers({
    limits: { records: 10, bytes: 1_000 },
    maxSlowBatches: 0,
    remedyFor: () => undefined,
    handle: () => Promise.resolve(),
    timings: { ...DEFAULT_TIMINGS.kafka, commitIntervalMs: 1_000 },
  });
  workers.assign(partitions);
  return workers;
}

test('a commit that failed is tried again, with what was handled since', async () => {
  const commits = new Commits([new Error('The coordinator is loading')]);
  const workers = workersOf([0, 1]);
  await workers.take(commits.batchOf(0, '4'));
  await workers.commit();
  await workers.take(commits.batchOf(1, '7'));
  await eventually(() => commits.attempts.length > 1);
  expect(commits.attempts).toEqual(['0:5', '0:5,1:8']);
});

test.each([
  ['the partitions were assigned again', (workers: PartitionWorkers) => workers.assign([0, 1])],
  ['the process stops', (workers: PartitionWorkers) => void workers.stop()],
])('a commit that failed is not tried again when %s', async (_, during) => {
  const commits = new Commits([new Error('The group rebalances'), new Error('The group rebalances')]);
  const workers = workersOf([0, 1]);
  await workers.take(commits.batchOf(0, '4'));
  const failing = workers.commit();
  during(workers);
  await failing;
  await workers.commit();
  expect(commits.attempts).toEqual(['0:5']);
});
