import { expect, test } from '@jest/globals';
import { isInstant } from '#subscriptions';
import { type DateFormat, toInstant } from './dates.js';

test.each<[DateFormat, string, string]>([
  ['iso', '2027-01-31', '2027-01-31T00:00:00Z'],
  ['iso', ' 2027-1-3 ', '2027-01-03T00:00:00Z'],
  ['iso', '2027-01-31 18:30', '2027-01-31T18:30:00Z'],
  ['iso', '2027-01-31T18:30:05.123456+00:00', '2027-01-31T18:30:05.123456+00:00'],
  ['iso', '2027-01-31 18:30:05+0130', '2027-01-31T18:30:05+01:30'],
  ['iso', '2027-01-31 18:30:05 UTC', '2027-01-31T18:30:05Z'],
  ['dmy', '31/01/2027', '2027-01-31T00:00:00Z'],
  ['dmy', '1.2.2027 8:05', '2027-02-01T08:05:00Z'],
  ['dmy', '2027-01-31', '2027-01-31T00:00:00Z'],
  ['mdy', '1/31/2027 12:30 AM', '2027-01-31T00:30:00Z'],
  ['mdy', '01-31-2027, 12:30:15 pm', '2027-01-31T12:30:15Z'],
  ['mdy', '1/31/2027 6:30 PM', '2027-01-31T18:30:00Z'],
])('%s reads %s as %s', (format, text, instant) => {
  expect(toInstant(text, format)).toBe(instant);
  expect(isInstant(instant)).toBe(true);
});

test.each<[DateFormat, string]>([
  ['iso', '31/01/2027'],
  ['iso', '2027-02-30'],
  ['iso', '2027-13-01'],
  ['iso', '20270131'],
  ['dmy', '01/31/2027'],
  ['dmy', '31/01/27'],
  ['mdy', '31/01/2027'],
  ['mdy', '1/31/2027 13:30 PM'],
  ['mdy', '1/31/2027 24:30'],
  ['mdy', 'tomorrow'],
])('%s does not read %s', (format, text) => {
  expect(isInstant(toInstant(text, format))).toBe(false);
});
