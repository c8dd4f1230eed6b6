import { expect, test } from '@jest/globals';
import { formatSnapshot, isVisible, parseSnapshot } from './snapshot.js';

test.each(['1:1:', '10:20:10,14,19', '755:757:755'])('%s is read and written', (text) => {
  expect(formatSnapshot(parseSnapshot(text))).toBe(text);
});

test.each(['', '1:1', 'a:b:', '1:2:3,', '1:2:-3'])('%j is not a pg_snapshot', (text) => {
  expect(() => parseSnapshot(text)).toThrow('is not a pg_snapshot');
});

test('shows transactions that were over, and neither those that were running nor those that had not started', () => {
  const snapshot = parseSnapshot('10:20:10,14');
  expect([9n, 10n, 11n, 14n, 19n, 20n, 21n].filter((txid) => isVisible(snapshot, txid))).toEqual([9n, 11n, 19n]);
});
