import { expect, test } from '@jest/globals';
import { type ContinuityGap, coversGaps, findGaps, joinRuns, type Observation, type PartitionFacts, type RunForGaps } from './gaps.js';

const SEQUENCE = 100;
const sound: PartitionFacts = {
  partition: 0,
  committed: 8,
  applied: 7,
  version: 90,
  known: true,
  foreign: [],
  breaks: 0,
  missingFrom: undefined,
  first: 2,
  end: 10,
};
const captured = { version: 95, known: true };
const observe = (facts: Partial<PartitionFacts>, more: Partial<Observation> = {}): Observation => ({
  partitions: [sound, { ...sound, partition: 1, ...facts }],
  sequence: SEQUENCE,
  captured,
  ...more,
});
const of = (facts: Partial<PartitionFacts>, more?: Partial<Observation>): string[] => findGaps(observe(facts, more));

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
  ['a version that DB1 has not drawn', { version: SEQUENCE + 1, known: undefined }, 'foreign_records'],
  ['a change that the log should have', { known: false }, 'foreign_records'],
  ['a version applied lately that DB1 never drew', { foreign: [80] }, 'foreign_records'],
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

test.each<[string, Partial<PartitionFacts>, Observation['captured']]>([
  ['the capture has read a version that DB1 has not drawn', {}, { version: SEQUENCE + 1, known: undefined }],
  ['the capture has read a change that the log should have', {}, { version: 95, known: false }],
  ['DB2 has applied such changes', { version: SEQUENCE + 1, foreign: [SEQUENCE + 1] }, { version: SEQUENCE + 1, known: undefined }],
])('DB1 has lost changes: %s', (_, facts, lost) => {
  expect(of(facts, { captured: lost })).toEqual(['db1_lost_changes']);
});

test('without a change that the capture is known to have read, a version that DB1 does not know is foreign', () => {
  expect(of({ known: false }, { captured: undefined })).toEqual(['foreign_records']);
});

test('each kind of gap is named once', () => {
  const facts = { ...sound, known: false, breaks: 2 };
  const observation = observe(facts, { partitions: [facts, facts], captured: { version: 95, known: false } });
  expect(findGaps(observation)).toEqual(['db1_lost_changes', 'topic_lost_records']);
});

test.each<[string, Partial<PartitionFacts>, boolean]>([
  ['the gap is the same one', { end: 12 }, true],
  ['a gap of another kind was found', { applied: 4 }, false],
  ['more records were skipped', { breaks: 2 }, false],
  ['another version is unknown', { version: 95 }, false],
  ['a version that was applied lately is unknown as well', { foreign: [80] }, false],
  ['the gap is in another partition', { partition: 1 }, false],
  ['no gap is left', { known: true, breaks: 0 }, true],
])('a run covers the gaps: %s', (_, facts, expected) => {
  const gap = { ...sound, known: false, breaks: 1 };
  const observation = (partition: PartitionFacts): Observation => ({ partitions: [partition], sequence: SEQUENCE });
  expect(coversGaps(observation(gap), observation({ ...gap, ...facts }))).toBe(expected);
});

test.each<[string, Observation['captured'], boolean]>([
  ['the capture has read other changes that DB1 lost', { version: 96, known: false }, false],
  ['the changes that DB1 lost are the same', { version: 95, known: false }, true],
  ['the capture has read on after the loss', { version: 99, known: true }, true],
])('a run for a DB1 that has lost changes covers the gaps: %s', (_, later, expected) => {
  const lost = observe({ version: SEQUENCE + 1 }, { captured: { version: 95, known: false } });
  expect(coversGaps(lost, observe({ version: SEQUENCE + 1 }, { captured: later }))).toBe(expected);
});

test.each<[string, ContinuityGap[] | undefined, ContinuityGap[] | undefined, ContinuityGap[] | undefined]>([
  ['nothing waits', undefined, ['db2_lost_changes'], ['db2_lost_changes']],
  ['nothing was found since', ['db2_lost_changes'], undefined, ['db2_lost_changes']],
  ['neither', undefined, undefined, undefined],
  ['another gap was found since', ['db1_lost_changes'], ['topic_lost_records'], ['db1_lost_changes', 'topic_lost_records']],
  ['the versions that DB1 lost look foreign since', ['db1_lost_changes'], ['foreign_records'], ['db1_lost_changes']],
])('a run that waits is joined with what was found since: %s', (_, waiting, found, expected) => {
  const run = (gaps: ContinuityGap[] | undefined, applied: number): RunForGaps | undefined =>
    gaps && { kind: 'compare', gaps, reason: gaps.join(', '), evidence: observe({ applied }) };
  const joined = joinRuns(run(waiting, 3), run(found, 4));
  expect(joined).toEqual(run(expected, found ? 4 : 3));
});
