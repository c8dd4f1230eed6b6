import { describe, expect, test } from '@jest/globals';
import { CHECKS } from './checker.js';
import type { Evidence, LoggedChange, StoredRow } from './evidence.js';
import type { Effect, Operation, Outcome } from './history.js';

/** A correct run: ada was created and changed, eve was created and deleted. */
const GOOD: Evidence = {
  operations: [
    done('sql-1', 'sql', { kind: 'made', email: 'ada', status: 'active', plan: 'p1' }),
    done('api-1', 'api', { kind: 'version', email: 'ada', version: 2, status: 'paused', plan: null }),
    done('sql-2', 'sql', { kind: 'changes', count: 1 }),
    done('api-2', 'api', { kind: 'deleted', email: 'eve' }),
    { id: 'sql-3', by: 'sql', what: 'insert', outcome: 'fail', effects: [] },
    { id: 'sql-4', by: 'sql', what: 'insert', outcome: 'info', effects: [] },
  ],
  log: [
    logged({ version: 1, email: 'ada', id: 'sql-1', plan: 'p1', txid: 10 }),
    logged({ version: 2, email: 'ada', id: 'api-1', operation: 'updated', status: 'paused', txid: 11 }),
    logged({ version: 3, email: 'eve', id: 'sql-2', txid: 12 }),
    logged({ version: 4, email: 'eve', id: 'api-2', operation: 'deleted', txid: 13 }),
  ],
  db1: [{ email: 'ada', version: 2, text: 'ada | paused' }],
  db2: [{ email: 'ada', version: 2, text: 'ada | paused' }],
  stored: [row('ada', 2, '1'), row('eve', 4, '2')],
  storedAfterReplay: [row('ada', 2, '1'), row('eve', 4, '2')],
  setbacks: [],
  topic: [1, 2, 3, 4, undefined, 2].map((version, offset) => ({ partition: 0, offset, version })),
  letters: [{ partition: 0, offset: 4, error_class: 'not-json' }],
  unpublishable: [],
  passes: [],
  published: [
    { slot: 5n, checkpoint: 5n, snapshot: '11:13:12', ends: new Map([[0, 2]]) },
    { slot: 5n, checkpoint: 9n, snapshot: '14:14:', ends: new Map([[0, 6]]) },
  ],
  applied: [
    { partition: 0, committed: -1, furthest: undefined },
    { partition: 0, committed: 3, furthest: 2 },
  ],
  slotWasLost: false,
  exits: [],
  peakHeap: 60_000_000,
  notRecovered: [],
};

function done(id: string, by: 'api' | 'sql', ...effects: Effect[]): Operation {
  return { id, by, what: 'write', outcome: 'ok', effects };
}

function logged(change: Partial<LoggedChange> & Pick<LoggedChange, 'version' | 'email' | 'txid'>): LoggedChange {
  return { operation: 'created', id: null, status: 'active', plan: null, ...change };
}

function row(email: string, version: number, place: string): StoredRow {
  return { email, version, place };
}

function outcomeOf(id: string, outcome: Outcome): Operation[] {
  return GOOD.operations.map((operation) => (operation.id === id ? { ...operation, outcome } : operation));
}

/** Returns the names of the checks that find a violation. */
function failingChecks(bad: Partial<Evidence>): string[] {
  const evidence = { ...GOOD, ...bad };
  return CHECKS.filter(({ violations }) => violations(evidence).length > 0).map(({ name }) => name);
}

test('a correct run has no violations', () => {
  expect(failingChecks({})).toEqual([]);
});

const without = (version: number): LoggedChange[] => GOOD.log.filter((change) => change.version !== version);
const changed = (version: number, other: Partial<LoggedChange>): LoggedChange[] =>
  GOOD.log.map((change) => (change.version === version ? { ...change, ...other } : change));

const LOST = 'no acknowledged write is lost';
const FALSE_2XX = 'every write that got a 2xx is committed';
const REFUSED = 'no refused or rolled back operation has an effect';
const FINAL = 'the final rows of DB1 match the log';
const FOREIGN = 'DB2 has only versions that DB1 had';
const ON_TOPIC = 'every change is on the topic';
const CHECKPOINT = 'the stored checkpoint is never ahead of the topic';
const SLOT = 'the slot is never ahead of the stored checkpoint';
const OFFSETS = 'committed offsets are never ahead of DB2';
const POISON = 'exactly the poison records are dead letters';
const EQUAL = 'both databases are equal';
const DUPLICATES = 'duplicates change no row';

const BAD: Readonly<Record<string, readonly [bad: Partial<Evidence>, expectedChecks: readonly string[]]>> = {
  'an acknowledged insert is not in the log': [{ log: without(1) }, [LOST]],
  'an acknowledged insert has other content': [{ log: changed(1, { plan: 'p2' }) }, [LOST]],
  'an acknowledged insert was made by another operation': [{ log: changed(1, { id: 'other' }) }, [LOST]],
  'an answered PUT has another status': [{ log: changed(2, { status: 'active' }) }, [LOST, FALSE_2XX]],
  'an answered PUT has another email': [{ log: changed(2, { email: 'bob' }) }, [LOST, FALSE_2XX, FINAL, FOREIGN]],
  'an answered DELETE only changed the row': [{ log: changed(4, { operation: 'updated' }) }, [LOST, FALSE_2XX, FINAL]],
  'only half of a transaction is in the log': [
    { operations: [...GOOD.operations, done('sql-5', 'sql', { kind: 'changes', count: 2 })] },
    [LOST],
  ],
  'a rolled back operation is in the log': [{ operations: outcomeOf('sql-1', 'fail') }, [REFUSED]],
  'the row is older than the log': [{ db1: [{ email: 'ada', version: 1, text: 'ada | paused' }] }, [FINAL]],
  'a row is gone without a deletion': [{ db1: [], db2: [] }, [FINAL]],
  'a row that is not in the log': [{ db1: [...GOOD.db1, { email: 'bob', version: 9, text: 'ada | paused' }] }, [FINAL]],
  'the databases did not become equal in time': [{ notRecovered: ['equal databases: …'] }, ['the system recovers in time']],
  'DB2 lacks a row': [{ db2: [] }, [EQUAL]],
  'DB2 has other content': [{ db2: [{ email: 'ada', version: 2, text: 'ada | active' }] }, [EQUAL]],
  'a deleted row is alive': [{ db2: [...GOOD.db2, { email: 'eve', version: 3, text: 'ada | paused' }] }, ['no deleted row is alive']],
  'DB2 has a version that never existed': [{ stored: [...GOOD.stored, row('ada', 7, '1')].slice(1) }, [FOREIGN]],
  'a version went down': [{ setbacks: [{ email: 'ada', before: 2, after: 1 }] }, ['versions in DB2 never went down']],
  'a tombstone was forgotten': [{ setbacks: [{ email: 'eve', before: 4, after: null }] }, ['versions in DB2 never went down']],
  'a duplicate wrote a row again': [{ storedAfterReplay: [row('ada', 2, '1'), row('eve', 4, '3')] }, [DUPLICATES]],
  'a duplicate deleted a row': [{ storedAfterReplay: GOOD.stored.slice(1) }, [DUPLICATES]],
  'a change never reached the topic': [{ topic: GOOD.topic.filter(({ version }) => version !== 3), published: [] }, [ON_TOPIC]],
  'the checkpoint covers a change that was not on the topic yet': [
    { published: [{ ...GOOD.published[0]!, ends: new Map([[0, 1]]) }] },
    [CHECKPOINT],
  ],
  'the checkpoint covers a change that never reached the topic': [
    { topic: GOOD.topic.filter(({ version }) => version !== 1) },
    [ON_TOPIC, CHECKPOINT],
  ],
  'the slot was confirmed beyond the stored checkpoint': [{ published: [{ ...GOOD.published[0]!, slot: 6n }] }, [SLOT]],
  'an offset was committed before DB2 had it': [{ applied: [{ partition: 0, committed: 4, furthest: 2 }] }, [OFFSETS]],
  'an offset was committed although nothing was applied': [{ applied: [{ partition: 1, committed: 1, furthest: undefined }] }, [OFFSETS]],
  'a poison record is not a dead letter': [{ letters: [] }, [POISON]],
  "one of the service's changes is a dead letter": [
    { letters: [...GOOD.letters, { partition: 0, offset: 1, error_class: '22001' }] },
    [POISON],
  ],
  'a row had to be repaired': [{ passes: [{ reason: 'lost', repaired: 1 }] }, ['no row had to be repaired', 'no gap is falsely reported']],
  'a row was resynced': [{ log: changed(1, { operation: 'resynced' }) }, ['no row had to be repaired']],
  'a false gap': [{ passes: [{ reason: 'lost', repaired: 0 }] }, ['no gap is falsely reported']],
  'too much memory': [{ peakHeap: 300 * 1024 * 1024 }, ['memory is bounded']],
  'a process ended': [{ exits: [{ member: 'sync-1', how: 'code 134', lastWords: 'heap' }] }, ['no process ends by itself']],
};

describe('each violation is found by exactly the checks that are meant for it', () => {
  test.each(Object.entries(BAD))('%s', (_, [bad, expectedChecks]) => {
    expect(failingChecks(bad)).toEqual(CHECKS.map(({ name }) => name).filter((name) => expectedChecks.includes(name)));
  });

  test('every check has an example of its violation', () => {
    const covered = new Set(Object.values(BAD).flatMap(([, expectedChecks]) => expectedChecks));
    expect(CHECKS.map(({ name }) => name).filter((name) => !covered.has(name))).toEqual([]);
  });
});

test('the text of a violation names the operation and the missing effect', () => {
  const [found] = CHECKS.find(({ name }) => name === LOST)!.violations({ ...GOOD, log: without(3) });
  expect(found).toBe('write sql-2 was acknowledged, but the log lacks {"kind":"changes","count":1}');
});
