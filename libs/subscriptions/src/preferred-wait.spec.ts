import { expect, test } from '@jest/globals';
import { preferredWait } from './request-context.js';

test.each([
  ['wait=5', 5],
  ['respond-async, wait=10', 10],
  ['Wait = "7"; unit=s', 7],
  [['return=minimal', 'wait=1'], 1],
  ['wait=0', 0],
  ['wait=3600', 30],
  ['wait=5, wait=9', 5],
])('%j waits for %i s', (header, seconds) => {
  expect(preferredWait(header)).toBe(seconds);
});

test.each([undefined, '', 'wait', 'wait=', 'wait=-1', 'wait=5s', 'await=5', 'return=minimal'])('%j does not wait', (header) => {
  expect(preferredWait(header)).toBeUndefined();
});
