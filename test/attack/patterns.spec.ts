import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { World } from '../harness/world.js';
import { Victim } from './victim.js';

let world: World;
let victim: Victim;

beforeAll(async () => {
  world = await World.shared();
  victim = new Victim(world);
});
afterAll(() => world.close());
beforeEach(() => victim.remember());

interface Attack {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Length of the values: a query and a header have at most 16 KB. */
const SIZE = 12_000;
const repeated = (text: string): string => text.repeat(Math.floor(SIZE / text.length));
/** Beginnings and repetitions on which patterns backtrack, each with an end that makes a match fail. */
const BOMBS = [
  'a',
  '0',
  ' ',
  '.',
  '-',
  '_',
  '%',
  ',',
  '"',
  '@',
  ':',
  '=',
  '\\',
  '/',
  'a.',
  'a-',
  'a@',
  '0:',
  'a,',
  '",',
  '" ',
  'W/"',
  'a=',
  '1_',
  '0.',
].flatMap((unit) => [`${repeated(unit)}\u00a1`, `a${repeated(unit)}`]);

const CONTROL = `${repeated('x')}\u00a1`;

/**
 * How many times as long as the control an attack may take, and how much longer (ms) in any case: a pattern that backtracks needs seconds for
 * 12,000 characters.
 */
const BOUND = { times: 10, ms: 250 };
/** A time that other work on the machine may have lengthened is measured again. */
const ATTEMPTS = 5;

async function timeOf({ method = 'GET', path, headers = {}, body }: Attack): Promise<number> {
  const begin = performance.now();
  const response = await fetch(world.url + path, { method, headers, ...(body === undefined ? {} : { body }) });
  await response.arrayBuffer();
  expect(response.status).toBeLessThan(500);
  return performance.now() - begin;
}

/** Returns the bombs that take longer than the control, whenever they are sent. */
async function slowBombs(attack: (value: string) => Attack): Promise<string[]> {
  const control = Math.max(await timeOf(attack(CONTROL)), await timeOf(attack(CONTROL)));
  const isSlow = async (bomb: string): Promise<boolean> =>
    (await timeOf(attack(bomb))) > Math.max(control * BOUND.times, control + BOUND.ms);
  const slow: string[] = [];
  for (const bomb of BOMBS) {
    let attempts = 0;
    while (attempts < ATTEMPTS && (await isSlow(bomb))) attempts += 1;
    if (attempts === ATTEMPTS) slow.push(bomb.slice(0, 5));
  }
  return slow;
}

const JSON_TYPE = { 'content-type': 'application/json' };
const q = encodeURIComponent;
/** A value is sent as Latin-1 in a header. */
const header = (name: string, value: string): Readonly<Record<string, string>> => ({ [name]: value.trim() || '-' });
/** Percent-encoding makes a value three times as long. */
const short = (value: string): string => q(value.slice(0, SIZE / 4) + value.slice(-1));

/** Each place where a client's text meets a pattern. */
const PLACES: Readonly<Record<string, (value: string) => Attack>> = {
  'the limit of a list': (value) => ({ path: `/subscriptions?limit=${short(value)}` }),
  'the cursor of a list': (value) => ({ path: `/subscriptions?cursor=${short(value)}` }),
  'the statuses of a list': (value) => ({ path: `/subscriptions?status=${short(value)}` }),
  'the prefix of a list': (value) => ({ path: `/subscriptions?email_prefix=${short(value)}` }),
  'the cursor of the feed': (value) => ({ path: `/events?after=${short(value)}` }),
  'the cursor of the feed, decoded': (value) => ({
    path: `/events?after=${Buffer.from(`1.${value.slice(0, 8_000)}`).toString('base64url')}`,
  }),
  'the cursor of a history': (value) => ({ path: `/subscriptions/victim%40example.com/history?cursor=${short(value)}` }),
  'the cursor of the keys': (value) => ({ path: `/access/keys?cursor=${short(value)}` }),
  'the version of a replica': (value) => ({ path: `/replica/subscriptions/victim%40example.com?min_version=${short(value)}` }),
  'the reason of a deletion': (value) => ({ method: 'DELETE', path: `/subscriptions/none%40example.com?reason=${short(value)}` }),
  'the id of an import': (value) => ({ method: 'POST', path: `/subscriptions/import?id=${short(value)}` }),
  'the columns of an import': (value) => ({ method: 'POST', path: `/subscriptions/import?columns=${short(value)}` }),
  'the statuses of an import': (value) => ({ method: 'POST', path: `/subscriptions/import?status_map=${short(value)}` }),
  'an email in a path': (value) => ({ path: `/subscriptions/${q(value.slice(0, 300))}` }),
  'an email in a body': (value) => ({
    method: 'POST',
    path: '/subscriptions',
    headers: JSON_TYPE,
    body: JSON.stringify({ email: value, status: 'active' }),
  }),
  'an email of the longest length': (value) => ({
    method: 'POST',
    path: '/subscriptions',
    headers: JSON_TYPE,
    body: JSON.stringify({ email: `${value.slice(0, 63)}@${value.slice(0, 189)}`, status: 'active' }),
  }),
  'a date in a body': (value) => ({
    method: 'PUT',
    path: '/subscriptions/none%40example.com',
    headers: JSON_TYPE,
    body: JSON.stringify({ status: 'active', access_until: value }),
  }),
  'the name of a key': (value) => ({
    method: 'POST',
    path: '/access/keys',
    headers: JSON_TYPE,
    body: JSON.stringify({ name: value, scopes: ['read'] }),
  }),
  'a name that is not known': (value) => ({
    method: 'POST',
    path: '/subscriptions',
    headers: JSON_TYPE,
    body: JSON.stringify({ [value]: 1 }),
  }),
  'the text of a body': (value) => ({ method: 'POST', path: '/subscriptions', headers: JSON_TYPE, body: value }),
  'the numbers of a body': (value) => ({
    method: 'POST',
    path: '/subscriptions',
    headers: JSON_TYPE,
    body: `{"a":1${value.replaceAll(/\D/g, '0')}}`,
  }),
  'a preference': (value) => ({ path: '/subscriptions', headers: header('prefer', `wait=${value}`) }),
  'spaces in a preference': (value) => ({ path: '/subscriptions', headers: header('prefer', `wait ${value} =`) }),
  'an entity tag': (value) => ({ path: '/subscriptions/victim%40example.com', headers: header('if-none-match', value) }),
  'a list of entity tags': (value) => ({ path: '/subscriptions/victim%40example.com', headers: header('if-none-match', `"a" ${value}`) }),
  'a key of idempotency': (value) => ({
    method: 'DELETE',
    path: '/subscriptions/none%40example.com',
    headers: header('idempotency-key', value),
  }),
  'a trace context': (value) => ({
    method: 'DELETE',
    path: '/subscriptions/none%40example.com',
    headers: header('traceparent', `00-${value}`),
  }),
  'a credential': (value) => ({ path: '/subscriptions', headers: header('authorization', `Bearer ${value}`) }),
  'the id of a request': (value) => ({ path: '/health/live', headers: header('x-request-id', value) }),
  'the id of the last event': (value) => ({ path: '/events', headers: header('last-event-id', value) }),
  'a media type': (value) => ({
    method: 'POST',
    path: '/subscriptions',
    headers: header('content-type', `application/json;${value}`),
    body: '{}',
  }),
  'the type of an import': (value) => ({
    method: 'POST',
    path: '/subscriptions/import',
    headers: header('content-type', `multipart/form-data; boundary=${value}`),
    body: '--',
  }),
  'a content coding': (value) => ({
    method: 'POST',
    path: '/subscriptions',
    headers: { ...JSON_TYPE, ...header('content-encoding', value) },
    body: '{}',
  }),
  'what a client accepts': (value) => ({ path: '/subscriptions/export', headers: header('accept', value) }),
  'a path': (value) => ({ path: `/${value.slice(0, 3_000).replaceAll(/[^a-z.,:=_-]/g, '/')}` }),
};

describe('no pattern backtracks', () => {
  test.each(Object.entries(PLACES))('%s', async (_, attack) => {
    expect(await slowBombs(attack)).toEqual([]);
    await victim.expectUnharmed();
  });

  test.each(['iso', 'dmy', 'mdy'])('dates of an import in the format %s, and its other cells', async (format) => {
    const columns = 'email,status,access_until,cancel_at_period_end,metadata';
    const line = (value: string): string => Array.from({ length: 5 }, () => `"${value.replaceAll('"', '""')}"`).join(',');
    const attack = (value: string): Attack => ({
      method: 'POST',
      path: `/subscriptions/import?date_format=${format}`,
      headers: { 'content-type': 'text/csv' },
      body: `${columns}\n${line(value.slice(0, 5_000))}\n`,
    });
    expect(await slowBombs(attack)).toEqual([]);
    await victim.expectUnharmed();
  });
});
