import { expect, test } from '@jest/globals';
import { findGaps, type PartitionFacts } from './gaps.js';

const SEQUENCE = 100;
const sound: PartitionFacts = { partition: 0, committed: 8, applied: 7, version: 90, known: true, breaks: 0, end: 10 };
const of = (facts: Partial<PartitionFacts>): string[] => findGaps([sound, { ...sound, partition: 1, ...facts }], SEQUENCE);

test.each<[string, Partial<PartitionFacts>]>([
  ['all partitions are continuous', {}],
  ['nothing was ever applied', { committed: undefined, applied: -1, version: 0, known: undefined, end: 0 }],
  ['everything is applied', { committed: 10, applied: 9 }],
  ['the commit to Kafka follows the commit in DB2', { committed: 3 }],
  ['the log does not go back that far', { known: undefined }],
  ['the last version drawn', { version: SEQUENCE }],
])('no gap: %s', (_, facts) => {
  expect(of(facts)).toEqual([]);
});

test.each<[string, Partial<PartitionFacts>, string]>([
  ['a version that DB1 has not drawn', { version: SEQUENCE + 1, known: undefined }, 'db1_lost_changes'],
  ['a change that the log should have', { known: false }, 'db1_lost_changes'],
  ['an offset committed to Kafka beyond what DB2 has', { committed: 9 }, 'db2_lost_changes'],
  ['an offset committed to Kafka, and an empty DB2', { committed: 1, applied: -1, version: 0 }, 'db2_lost_changes'],
  ['records that did not follow the previous ones', { breaks: 1 }, 'topic_lost_records'],
  ['a position behind the end of the topic', { applied: 10, committed: undefined }, 'topic_lost_records'],
  ['a partition that is gone', { end: undefined }, 'topic_lost_records'],
])('a gap: %s', (_, facts, expected) => {
  expect(of(facts)).toEqual([expected]);
});

test('each kind of gap is named once', () => {
  const facts = { ...sound, known: false, breaks: 2 };
  expect(findGaps([facts, facts], SEQUENCE)).toEqual(['db1_lost_changes', 'topic_lost_records']);
});
