import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from '@jest/globals';
import { definitionOf } from '../../harness/definition.js';
import { eventually } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';
import { finished, requested } from '../reconciliation/runs.js';

/** The walks of the page, each with its own tables and settings. */
const PAGE = readFileSync('docs/operating/attach.md', 'utf8');

let world: World;
afterEach(() => world.close());

interface Walk {
  readonly db1: string;
  readonly db2: string;
  readonly env: Record<string, string>;
}

function walkOf(title: string): Walk {
  const section = PAGE.split('\n## ').find((text) => text.startsWith(`${title}\n`));
  if (section === undefined) throw new Error(`The page has no section ${title}`);
  const blocks = [...section.matchAll(/```(\w+)([^\n]*)\n(.*?)```/gs)].map(([, language, info, text]) => ({
    language,
    info: info!,
    text: text!,
  }));
  const sqlFor = (database: string): string =>
    blocks
      .filter(({ language, info }) => language === 'sql' && info.includes(database))
      .map(({ text }) => text)
      .join('\n');
  const settings = blocks.find(({ language }) => language === 'ini')!.text;
  const env = Object.fromEntries(
    settings
      .trim()
      .split('\n')
      .map((line) => line.split('=') as [string, string]),
  );
  return { db1: sqlFor('db1'), db2: sqlFor('db2'), env };
}

async function startWalk(title: string): Promise<void> {
  const { db1, db2, env } = walkOf(title);
  world = await World.create({ unmigrated: true, env });
  await world.db1.query(db1);
  await world.db2.query(db2);
}

async function rows(database: 'db1' | 'db2', sql: string): Promise<unknown[]> {
  return (await world[database].query<Record<string, unknown>>(sql)).rows;
}

/** Expects that Database 2 answers a query as Database 1 answers its own, within a time limit. */
async function expectEqual(sql1: string, sql2 = sql1): Promise<void> {
  const [read1, read2] = [() => rows('db1', sql1), () => rows('db2', sql2)];
  await eventually(async () => JSON.stringify(await read1()) === JSON.stringify(await read2())).catch(() => undefined);
  expect(await read2()).toEqual(await read1());
}

async function api(method: string, path: string, body?: object): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${world.url}/subscriptions${path}`, {
    method,
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function expectRepaired(differing: number): Promise<void> {
  const run = await requested(world, {});
  expect(await finished(world, run.id)).toMatchObject({ outcome: differing === 0 ? 'equal' : 'repaired', differing, repaired: differing });
}

describe("the page's walk", () => {
  test("a newsletter's subscribers", async () => {
    await startWalk("A newsletter's subscribers");
    const before = await definitionOf(world.db2);
    await world.start();
    await world.ready();
    const [all1, all2] = [
      'SELECT email, status::text, name, attribs FROM subscribers ORDER BY email',
      'SELECT address AS email, newsletter AS status, full_name AS name, attributes AS attribs FROM crm.contacts ORDER BY address',
    ];
    await expectEqual(all1, all2);
    expect(await rows('db2', `SELECT contact_id::int, owner FROM crm.contacts WHERE address = 'ada@example.com'`)).toEqual([
      { contact_id: 1, owner: 'support' },
    ]);
    await world.db1.query(`UPDATE subscribers SET status = 'blocklisted', attribs = '{"a": [1.50]}' WHERE email = 'eve@example.com'`);
    await world.db1.query(`INSERT INTO subscribers (email, name) VALUES ('bob@example.com', 'Bob')`);
    expect(await api('PATCH', '/ada@example.com', { status: 'disabled' })).toMatchObject({
      status: 200,
      body: { status: 'disabled', name: 'Ada' },
    });
    expect(await api('PATCH', '/ada@example.com', { status: 'active' })).toMatchObject({ status: 400 });
    expect((await api('PATCH', '/ada@example.com', { plan: 'pro' })).body).toMatchObject({ status: 400, errors: [{ field: 'plan' }] });
    await expectEqual(all1, all2);
    await expectRepaired(0);
    await world.db2.query(`UPDATE crm.contacts SET newsletter = 'wrong' WHERE address = 'bob@example.com'`);
    await expectRepaired(1);
    await expectEqual(all1, all2);
    expect(await definitionOf(world.db2)).toEqual(before);
  });

  test("a billing system's subscriptions", async () => {
    await startWalk("A billing system's subscriptions");
    await world.start();
    await world.ready();
    const all =
      'SELECT id, customer_email, state, price::text, amount_due::text, current_period::text, current_period_end::text, coupons FROM billing.subscriptions ORDER BY 2';
    await expectEqual(all);
    await world.db1.query(
      `UPDATE billing.subscriptions SET state = 'past_due', amount_due = 12.5, coupons = '{a,"b c"}', current_period_end = '2026-12-01'`,
    );
    await world.db1.query(
      `INSERT INTO billing.subscriptions (customer_email, state, price) VALUES ('bob@example.com', 'active', '-1234.56')`,
    );
    expect(await api('PATCH', '/ada@example.com', { status: 'canceled' })).toMatchObject({
      status: 200,
      body: { email: 'ada@example.com', status: 'canceled' },
    });
    expect(await api('PUT', '/new@example.com', { status: 'trialing' })).toMatchObject({ status: 201 });
    expect(await api('PUT', '/new@example.com', { status: 'pending' })).toMatchObject({ status: 400 });
    await world.db1.query(`DELETE FROM billing.subscriptions WHERE customer_email = 'eve@example.com'`);
    await expectEqual(all);
    await expectRepaired(0);
    await world.db2.query(
      `UPDATE billing.subscriptions SET current_period = '[2000-01-01, 2000-02-01)', price = '1' WHERE customer_email = 'ada@example.com'`,
    );
    await expectRepaired(1);
    await expectEqual(all);
  });

  test("a membership site's members", async () => {
    await startWalk("A membership site's members");
    await world.start();
    await world.ready();
    const all = 'SELECT id, email, status, plan, deleted_at, updated_at::text FROM members ORDER BY id';
    await expectEqual(all);
    await eventually(async () => (await api('GET', '/ada@example.com')).status === 200);
    expect((await api('GET', '/ada@example.com')).body).toMatchObject({ email: 'Ada@Example.com', id: 'm1', status: 'paid' });
    await world.db1.query(`UPDATE members SET deleted_at = now() WHERE id = 'm1'`);
    await world.db1.query(`UPDATE members SET email = 'ADA@example.com' WHERE id = 'm1'`);
    expect(await api('PATCH', '/EVE@example.com', { status: 'comped', plan: 'gold' })).toMatchObject({
      status: 200,
      body: { email: 'Eve@Example.com' },
    });
    await world.db1.query(`INSERT INTO members (id, email) VALUES ('m4', 'New@Example.com')`);
    await expectEqual(all);
    await world.db1.query(`DELETE FROM members WHERE id = 'm4'`);
    await expectEqual(all);
    await expectRepaired(0);
    await world.db2.query(`DELETE FROM members WHERE id = 'm2'; UPDATE members SET plan = 'x' WHERE id = 'm1'`);
    await expectRepaired(2);
    await expectEqual(all);
  });
});
