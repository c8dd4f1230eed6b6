import { expect, test } from '@jest/globals';
import { causeOf, type DifferenceFacts } from './recheck-rows.js';

const both: DifferenceFacts = {
  collides: false,
  inDb1: true,
  versionInDb1: 7,
  inDb2: true,
  versionInDb2: 7,
  foreign: false,
  asLogged: true,
};

test.each<[string, Partial<DifferenceFacts>, string]>([
  ['DB2 has no row', { inDb2: false, versionInDb2: 0 }, 'missing'],
  ['DB2 has the version, but not the row', { inDb2: false, versionInDb2: 7 }, 'missing'],
  ['DB1 has no row', { inDb1: false, versionInDb1: 0 }, 'extra'],
  ['an older version', { versionInDb2: 6 }, 'stale'],
  ['a newer version', { versionInDb2: 8 }, 'ahead'],
  ['the same version', {}, 'content'],
  ['equal rows, and another row in DB1 with the same key', { collides: true }, 'collision'],
  ['a version that DB1 never drew', { versionInDb2: 8, foreign: true }, 'foreign'],
  ['a version that DB1 never drew, of a row that DB1 does not have', { inDb1: false, versionInDb1: 0, foreign: true }, 'foreign'],
  ['a deletion that DB1 never drew', { inDb2: false, versionInDb2: 8, foreign: true }, 'foreign'],
  ['a row that differs from its last logged image', { asLogged: false }, 'capture_hole'],
  ['a row whose deletion was not logged', { inDb1: false, versionInDb1: 0, asLogged: false }, 'capture_hole'],
])('%s', (_, facts, cause) => {
  expect(causeOf({ ...both, ...facts })).toBe(cause);
});
