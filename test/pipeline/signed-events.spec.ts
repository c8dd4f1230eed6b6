import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { KafkaMessage } from 'kafkajs';
import { EventSignatures } from '#events';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { recordOf } from '../harness/history.js';
import { putOnTopic, World } from '../harness/world.js';

const KEY = 'a secret of at least thirty-two bytes';
const PREVIOUS = 'another secret of at least thirty-two bytes';
const SIGNED = { EVENT_SIGNING_KEY: KEY, EVENT_SIGNING_PREVIOUS_KEY: PREVIOUS };

let world: World;

beforeAll(async () => {
  world = await World.started({ env: SIGNED });
});
afterAll(() => world.close());

/** A well-formed record of a subscription that Database 1 does not have. */
function forged(email: string): { key: string; value: Buffer } {
  return { key: email, value: recordOf({ email, version: 9_000_000, operation: 'created', status: 'active' }, 0).value! };
}

async function emailsInDb2(): Promise<string[]> {
  const { rows } = await world.db2.query<{ email: string }>('SELECT email FROM subscriptions ORDER BY email');
  return rows.map(({ email }) => email);
}

/** Returns the number of dead letters without a valid signature. */
async function notSigned({ db2 }: World): Promise<number> {
  return (await db2.query(`SELECT FROM subscription_sync.dead_letters WHERE error_class = 'not-signed'`)).rowCount!;
}

async function recordsOnTopic(count: number): Promise<KafkaMessage[]> {
  const consumer = world.kafka.consumer({ groupId: `${world.name}-reader` });
  const found: KafkaMessage[] = [];
  await consumer.connect();
  try {
    await consumer.subscribe({ topic: world.topic, fromBeginning: true });
    await consumer.run({ eachMessage: async ({ message }) => void found.push(message) });
    await eventually(async () => found.length >= count);
  } finally {
    await consumer.disconnect();
  }
  return found;
}

test('records are signed with the key, and applied', async () => {
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('ada@example.com', 'active'), ('é@example.com', 'active')`);
  await expectEqualDatabases(world);
  const current = new EventSignatures([KEY]);
  for (const { key, value, headers } of await recordsOnTopic(2)) expect(current.isValid(headers?.['signature'], key!, value!)).toBe(true);
});

test('a record without a signature, or with a wrong one, becomes a dead letter that cannot be tried again', async () => {
  const stranger = new EventSignatures(['a secret that the service does not know']);
  const [none, wrong] = [forged('none@example.com'), forged('wrong@example.com')];
  await putOnTopic(world, [none, { ...wrong, headers: { signature: stranger.sign(wrong.key, wrong.value) } }]);
  const letters = await eventually(async () => {
    const { rows } = await world.db2.query<{ id: string }>(
      `SELECT id FROM subscription_sync.dead_letters WHERE error_class = 'not-signed'`,
    );
    return rows.length === 2 ? rows : undefined;
  });
  for (const { id } of letters) {
    const response = await fetch(`${world.url}/dead-letters/${id}/redrive`, { method: 'POST' });
    expect(await response.json()).toMatchObject({ outcome: 'failed', error: 'Failed again: not-signed' });
  }
  await world.db1.query(`UPDATE subscriptions SET status = 'paused' WHERE email = 'ada@example.com'`);
  await expectEqualDatabases(world);
  expect(await emailsInDb2()).toEqual(['ada@example.com', 'é@example.com']);
});

test('a record that was signed with the key before is applied', async () => {
  const record = forged('before@example.com');
  await putOnTopic(world, [{ ...record, headers: { signature: new EventSignatures([PREVIOUS]).sign(record.key, record.value) } }]);
  await eventually(async () => (await emailsInDb2()).includes('before@example.com'));
  expect(await notSigned(world)).toBe(2);
});

test('where signatures are optional, a record without one is applied, and one with a wrong signature is not', async () => {
  await World.lend(
    async (other) => {
      await other.start();
      await other.ready();
      const [none, wrong] = [forged('none@example.com'), forged('wrong@example.com')];
      await putOnTopic(other, [none, { ...wrong, headers: { signature: 'hmac-sha256=AAAA' } }]);
      await eventually(async () => (await notSigned(other)) > 0);
      const { rows } = await eventually(async () => {
        const found = await other.db2.query('SELECT email FROM subscriptions');
        return found.rowCount === 0 ? undefined : found;
      });
      expect(rows).toEqual([{ email: 'none@example.com' }]);
    },
    { env: { ...SIGNED, EVENT_SIGNATURES: 'optional' } },
  );
});
