import { expect, test } from '@jest/globals';
import type { ReplicaColumn } from './apply-statement.js';
import { classifyError } from './failure-policy.js';
import { expectNoDrift } from './replica-table.js';

const OURS: Readonly<Record<string, readonly [type: string, category: string]>> = {
  email: ['text', 'S'],
  status: ['text', 'S'],
  plan: ['text', 'S'],
  access_until: ['timestamp with time zone', 'D'],
  cancel_at_period_end: ['boolean', 'B'],
  metadata: ['jsonb', 'U'],
  created_at: ['timestamp with time zone', 'D'],
  updated_at: ['timestamp with time zone', 'D'],
};

function tableWith(changed: Readonly<Record<string, readonly [type: string, category: string, builtin?: boolean]>>): ReplicaColumn[] {
  return Object.entries({ ...OURS, ...changed }).map(([name, [type, category, builtin = true]]) => {
    return { name, type, typeOfAnyLength: type, category, builtin, generated: false };
  });
}

function resultOf(columns: readonly ReplicaColumn[]): unknown {
  try {
    expectNoDrift(columns);
    return 'fits';
  } catch (error) {
    return classifyError(error);
  }
}

test.each([
  ['a table as the migrations create it', {}],
  ['narrower text', { status: ['character varying(10)', 'S'], email: ['character(3)', 'S'] }],
  ["an owner's enum", { status: ['subscription_status', 'E', false], plan: ['plan', 'E'] }],
  ["an extension's text", { email: ['citext', 'S', false] }],
  [
    'times without a zone, dates, or text',
    { access_until: ['date', 'D'], created_at: ['timestamp without time zone', 'D'], updated_at: ['text', 'S'] },
  ],
  ['json instead of jsonb', { metadata: ['json', 'U'] }],
  ['additional columns', { tenant: ['uuid', 'U'], version: ['text', 'S'] }],
] as const)('%s is accepted', (_, changed) => {
  expect(resultOf(tableWith(changed))).toBe('fits');
});

test.each([
  ['status', 'integer', 'N', 'text'],
  ['plan', 'uuid', 'U', 'text'],
  ['access_until', 'bigint', 'N', 'timestamptz'],
  ['cancel_at_period_end', 'integer', 'N', 'boolean'],
  ['metadata', 'bytea', 'U', 'jsonb'],
])('%s as %s stops the role, and the remedy names it', (name, type, category, ours) => {
  expect(resultOf(tableWith({ [name]: [type, category] }))).toEqual({
    action: 'stop',
    remedy: `ALTER TABLE subscriptions ALTER COLUMN ${name} TYPE ${ours}`,
  });
});

test.each(Object.keys(OURS))('a table without %s stops the role', (name) => {
  expect(resultOf(tableWith({}).filter((column) => column.name !== name))).toEqual({
    action: 'stop',
    remedy: expect.stringMatching(new RegExp(`ADD COLUMN ${name} `)),
  });
});
