import { expect, test } from '@jest/globals';
import { BadEventError } from '#events';
import { classifyError } from './failure-policy.js';

const withCode = (code: unknown): Error => Object.assign(new Error('an error of PostgreSQL or a socket'), { code });

test.each(['22001', '22003', '22021', '22P02', '22P05', '23502', '23505', '23514', '54000', '54001', 'P0001'])(
  'SQLSTATE %s is about the record: dead letter',
  (code) => {
    expect(classifyError(withCode(code))).toEqual({ action: 'dead-letter', errorClass: code });
  },
);

test('a record that is not an event is a dead letter of its class', () => {
  expect(classifyError(new BadEventError('not-json', 'The value is not JSON'))).toEqual({ action: 'dead-letter', errorClass: 'not-json' });
});

test.each([
  ['28P01', 'DB2_PASSWORD'],
  ['28000', 'pg_hba.conf'],
  ['3D000', 'DB2_DATABASE'],
  ['3F000', 'search_path'],
  ['42501', 'grant'],
  ['42P01', 'migrations'],
  ['42703', 'migrations'],
  ['42804', 'migrations'],
  ['42P10', 'unique index'],
])('SQLSTATE %s needs an operator: the role stops, and its remedy mentions %s', (code, word) => {
  expect(classifyError(withCode(code))).toEqual({ action: 'stop', remedy: expect.stringContaining(word) });
});

test.each([
  '08006',
  '08P01',
  '25006',
  '40001',
  '40P01',
  '53100',
  '53200',
  '53300',
  '55P03',
  '57014',
  '57P01',
  '57P03',
  '58030',
  'XX000',
  '0A000',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  undefined,
  7,
])('%s may succeed later: retry', (code) => {
  expect(classifyError(withCode(code))).toEqual({ action: 'retry' });
});

test.each([undefined, null, 'text', new Error('Connection terminated unexpectedly')])('an error without a code is retried: %s', (error) => {
  expect(classifyError(error)).toEqual({ action: 'retry' });
});
