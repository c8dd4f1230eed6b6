import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { World } from '../../harness/world.js';
import { importedRows, NDJSON, ndjson, row, sendFile } from './send-file.js';

let world: World;

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

const CSV = 'text/csv';
const send = (file: string | Buffer, query = '', type = CSV): request.Test => sendFile(world.url, file, type, query);
const query = (options: Readonly<Record<string, string>>): string => `?${new URLSearchParams(options).toString()}`;

const rows = (prefix: string): Promise<unknown[]> => importedRows(world, prefix);

describe('presets', () => {
  const EXPORTS = {
    stripe: [
      row('stripe1', 'active', { plan: 'price_pro', until: '2026-11-30 09:15' }),
      row('stripe2', 'past_due', { plan: 'price_team', until: '2027-02-01 00:00', cancels: true }),
      row('stripe3', 'expired', { plan: 'price_pro', until: '2026-04-01 10:00' }),
    ],
    mailchimp: [row('mailchimp1', 'active'), row('mailchimp2', 'active')],
    ghost: [row('ghost1', 'active', { plan: 'Gold' }), row('ghost2', 'canceled')],
    substack: [row('substack1', 'active', { plan: 'yearly', until: '2027-03-01 00:00' }), row('substack2', 'canceled', { plan: 'other' })],
    listmonk: [row('listmonk1', 'active', { metadata: { city: 'London' } }), row('listmonk2', 'canceled')],
  };

  test.each(Object.entries(EXPORTS))('%s', async (preset, expected) => {
    const { body } = await send(readFileSync(join(import.meta.dirname, 'files', `${preset}.csv`)), query({ preset })).expect(201);
    expect(body).toMatchObject({ lines: expected.length, created: expected.length, refused: 0, errors: [] });
    expect(await rows(preset)).toEqual(expected);
  });

  test('options of the request take precedence over those of the preset', async () => {
    const file = 'email,subscribed_to_emails,tiers,Plan Name\nqa1@example.com,false,ignored,pro\n';
    await send(file, query({ preset: 'ghost', columns: 'plan name:plan', status_map: 'False:paused' })).expect(201);
    expect(await rows('qa1')).toEqual([row('qa1', 'paused', { plan: 'pro' })]);
    await send('Email Address\nqa2@example.com\n', query({ preset: 'mailchimp', default_status: 'canceled' })).expect(201);
    expect(await rows('qa2')).toEqual([row('qa2', 'canceled')]);
  });
});

describe('names, statuses and dates', () => {
  test('columns are found regardless of case, spaces, underscores and hyphens', async () => {
    const file = 'E-Mail Address;STATUS;Access-Until;cancel At period_end\r\nqb1@example.com;Subscribed;31.12.2027;TRUE\r\n';
    const options = { columns: 'email_address:email,E-mail address:email', status_map: 'subscribed:active', date_format: 'dmy' };
    await send(file, query(options)).expect(400);
    await send(file, query({ ...options, columns: 'e_mail address:email' })).expect(201);
    expect(await rows('qb1')).toEqual([row('qb1', 'active', { until: '2027-12-31 00:00', cancels: true })]);
    await send('EMAIL,Sta-tus\nqb2@example.com,active\n').expect(201);
    expect(await rows('qb2')).toEqual([row('qb2', 'active')]);
  });

  test('they apply to JSON, too', async () => {
    const line = { 'Email Address': 'qc1@example.com', subscribed: true, Tier: 'pro', until: '2027-01-31', tags: ['x'] };
    const options = {
      columns: 'email-address:email,subscribed:status,tier:plan,until:access_until',
      status_map: 'true:active,false:canceled',
      date_format: 'iso',
      unknown_columns: 'ignore',
    };
    await send(ndjson([line]), query(options), NDJSON).expect(201);
    const expected = [row('qc1', 'active', { plan: 'pro', until: '2027-01-31 00:00' })];
    expect(await rows('qc1')).toEqual(expected);
    const { body } = await send(JSON.stringify([line]), query(options), 'application/json').expect(201);
    expect(body).toMatchObject({ lines: 1, unchanged: 1 });
    const { body: plain } = await send(ndjson([{ Email: 'qc2@example.com', status: 'active' }]), '', NDJSON).expect(201);
    expect(plain).toMatchObject({ refused: 1 });
  });

  test('an error names the line, the field, its column and what would be right', async () => {
    const file = 'Address,State,Paid Until\nqd,active,2027-01-31\n"qd2@example.com\n",gone,tomorrow\nqd3@example.com,active,31/01/2027\n';
    const options = { columns: 'address:email,state:status,paid until:access_until', date_format: 'iso' };
    const { body } = await send(file, query(options)).expect(201);
    const wrongDate = { field: 'access_until', column: 'Paid Until', detail: expect.stringMatching(/^must be a date as in 2027-01-31/) };
    expect(body.errors).toEqual([
      { line: 2, field: 'email', column: 'Address', detail: expect.stringContaining('must be an email address') },
      {
        line: 3,
        field: 'status',
        column: 'State',
        detail: expect.stringMatching(/^must be one of .*; status_map translates other values$/),
      },
      { line: 3, ...wrongDate },
      { line: 5, ...wrongDate },
    ]);
  });

  test.each([
    ['columns', 'Address'],
    ['columns', 'Address:colour'],
    ['columns', ':email'],
    ['status_map', 'gone:cancelled'],
    ['default_status', 'gone'],
    ['date_format', 'ymd'],
    ['unknown_columns', 'maybe'],
    ['preset', 'excel'],
  ])('%s=%s is 400 and names the option', async (option, value) => {
    const { body } = await send('email,status\n', query({ [option]: value })).expect(400);
    expect(body.errors).toEqual([{ field: option, detail: expect.stringMatching(/^must be /) }]);
  });

  test.each([
    [
      'a column that is not there',
      'mail,status\n',
      { columns: 'Email:email' },
      /^Line 1 lacks columns that the option columns names: "Email"/,
    ],
    ['an unknown column', 'email,status,Favourite Colour\n', {}, /^Line 1 names an unknown column; .* Unknown are "Favourite Colour": map/],
    ['two columns for a field', 'email,e-mail,status\n', {}, /^Line 1 names a column twice: "email", "e-mail" stand for email\. Remove/],
    ['no status', '\nemail\n', {}, /^Line 2 must name the columns; missing: status\. .* default_status stands for a missing status/],
    ['an email as header', 'qe1@example.com,active\n', { default_status: 'active' }, /^Line 1 must name the columns; missing: email/],
  ])('%s is 422 and says what to do', async (_, file, options, detail) => {
    const { body } = await send(file, query(options)).expect(422);
    expect(body.detail).toMatch(detail);
    expect(body.detail).not.toContain('@');
  });

  test('a dry run shows what the columns and the first lines became, and does not store it', async () => {
    const lines = Array.from({ length: 7 }, (_, i) => `qf${i}@example.com;${i === 1 ? 'gone' : 'subscribed'};x`);
    const options = { dry_run: 'true', columns: 'email address:email', status_map: 'subscribed:active', unknown_columns: 'ignore' };
    const { body } = await send(['Email Address;Status;Tags', ...lines].join('\n'), query(options)).expect(201);
    expect(body).toMatchObject({ lines: 7, created: 6, refused: 1 });
    expect(body.preview).toEqual({
      delimiter: ';',
      columns: [
        { name: 'Email Address', field: 'email' },
        { name: 'Status', field: 'status' },
        { name: 'Tags', field: null },
      ],
      lines: Array.from({ length: 5 }, (_, i) => ({
        line: i + 2,
        values: { email: `qf${i}@example.com`, status: i === 1 ? 'gone' : 'active' },
      })),
    });
    const { body: job, text } = await request(world.url).get(`/imports/${body.id}`).expect(200);
    expect(job).not.toHaveProperty('preview');
    expect(text).not.toContain('qf0@');
    expect(await rows('qf')).toEqual([]);
  });
});
