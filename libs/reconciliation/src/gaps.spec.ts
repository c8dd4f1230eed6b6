import { expect, test } from '@jest/globals';
import { coversGaps, findGaps, type Observation, type PartitionFacts } from './gaps.js';

const SEQUENCE = 100;
const sound: PartitionFacts = {
  partition: 0,
  committed: 8,
  applied: 7,
  version: 90,
  known: true,
  breaks: 0,
  missingFrom: undefined,
  first: 2,
  end: 10,
};
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
  ['skipped records that the topic still has', { breaks: 1, missingFrom: 2 }, 'db2_lost_changes'],
  ['skipped records that the topic no longer has', { breaks: 1, missingFrom: 1 }, 'topic_lost_records'],
  ['a topic that was created again', { breaks: 1, missingFrom: -1 }, 'topic_lost_records'],
  ['a position behind the end of the topic', { applied: 10, committed: undefined }, 'topic_lost_records'],
  ['a partition that is gone', { end: undefined }, 'topic_lost_records'],
])('a gap: %s', (_, facts, expected) => {
  expect(of(facts)).toEqual([expected]);
});

test('each kind of gap is named once', () => {
  const facts = { ...sound, known: false, breaks: 2 };
  expect(findGaps([facts, facts], SEQUENCE)).toEqual(['db1_lost_changes', 'topic_lost_records']);
});

test.each<[string, Partial<PartitionFacts>, boolean]>([
  ['the gap is the same one', { end: 12 }, true],
  ['a gap of another kind was found', { applied: 4 }, false],
  ['more records were skipped', { breaks: 2 }, false],
  ['DB1 lost other changes', { version: 95 }, false],
  ['the gap is in another partition', { partition: 1 }, false],
  ['no gap is left', { known: true, breaks: 0 }, true],
])('a run covers the gaps: %s', (_, facts, expected) => {
  const gap = { ...sound, known: false, breaks: 1 };
  const observation = (partition: PartitionFacts): Observation => ({ partitions: [partition], sequence: SEQUENCE });
  expect(coversGaps(observation(gap), observation({ ...gap, ...facts }))).toBe(expected);
});
