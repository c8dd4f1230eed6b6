import { expect, test } from '@jest/globals';
import { replicationState, type Side } from './replication-status.dto.js';

const live = (version: number, content = 'a'): Side => ({ version, live: true, content });
const deleted = (version: number): Side => ({ version, live: false, content: null });
const NOTHING = { deadLettered: false, passed: false };

test.each([
  ['equal on both sides', live(7), live(7), NOTHING, 'in_sync'],
  ['deleted on both sides', deleted(8), deleted(8), NOTHING, 'in_sync'],
  ['new', live(7), undefined, NOTHING, 'in_flight'],
  ['changed', live(7), live(5), NOTHING, 'in_flight'],
  ['just deleted', deleted(8), live(7), NOTHING, 'in_flight'],
  ['older than the change log', live(0), live(0), NOTHING, 'in_flight'],
  ['dead-lettered', live(7), live(5), { deadLettered: true, passed: true }, 'dead_lettered'],
  ['published, but not applied', live(7), live(5), { ...NOTHING, passed: true }, 'drifted'],
  ['missing, although published and passed', live(7), undefined, { ...NOTHING, passed: true }, 'drifted'],
  ['changed in DB2', live(7), live(7, 'b'), NOTHING, 'drifted'],
  ['newer in DB2', live(7), live(9), NOTHING, 'drifted'],
  ['deleted only in DB2', live(7), deleted(7), NOTHING, 'drifted'],
  ['only in DB2', undefined, live(3), NOTHING, 'drifted'],
] as const)('a subscription that is %s', (_, db1, db2, rest, state) => {
  expect(replicationState({ db1, db2, ...rest })).toBe(state);
});
