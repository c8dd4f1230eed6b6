import { expect, test } from '@jest/globals';
import { DEFAULT_MAPPING } from '#config';
import type { TableColumn } from '#postgres';
import { classifyError } from './failure-policy.js';
import { replicatedColumns } from './replicated-columns.js';

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

function tableWith(changed: Readonly<Record<string, readonly [type: string, category: string, builtin?: boolean]>>): TableColumn[] {
  return Object.entries({ ...OURS, ...changed }).map(([name, [type, category, builtin = true]]) => {
    const facts = { domain: false, collation: '-', nullable: true, hasDefault: false, generated: false, computed: false, virtual: null };
    return { name, type, typeOfAnyLength: type, category, builtin, ...facts };
  });
}

function resultOf(columns: readonly TableColumn[]): unknown {
  const find = (name: string): TableColumn => columns.find((column) => column.name === name)!;
  const table = {
    ...{
      label: 'DB2.subscriptions',
      sql: 'public.subscriptions',
      key: 'email',
      status: 'status',
      orderedByBytes: true,
      orderedByStatus: true,
      statuses: undefined,
      keyOperators: 'pg_catalog',
    },
    ...{ columns, keyColumn: find('email'), statusColumn: find('status') },
  };
  try {
    replicatedColumns(table, DEFAULT_MAPPING, new Set(Object.keys(OURS)));
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
    remedy: `ALTER TABLE public.subscriptions ALTER COLUMN ${name} TYPE ${ours}`,
  });
});

test.each(Object.keys(OURS).filter((name) => name !== 'email' && name !== 'status'))('a table without %s stops the role', (name) => {
  expect(resultOf(tableWith({}).filter((column) => column.name !== name))).toEqual({
    action: 'stop',
    remedy: expect.stringMatching(new RegExp(`ADD COLUMN ${name} `)),
  });
});
