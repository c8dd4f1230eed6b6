import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { callCli } from '../harness/command-line.js';
import { World } from '../harness/world.js';

let world: World;
beforeAll(async () => {
  world = await World.create({ unmigrated: true });
});
afterAll(() => world.close());

interface Finding {
  readonly part: string;
  readonly level: string;
  readonly text: string;
}

async function doctor(env: Record<string, string> = {}): Promise<{ code: number | null; findings: Finding[] }> {
  const { code, stdout } = await callCli(['doctor', '--json'], { ...world.environment(), ...env });
  return { code, findings: JSON.parse(stdout) as Finding[] };
}

/** Returns the texts of the findings of a level, with the part that they are about. */
function textsOf(findings: readonly Finding[], level: string): string[] {
  return findings.filter((finding) => finding.level === level).map(({ part, text }) => `${part}: ${text}`);
}

test('databases that the service can work with are left as they are', async () => {
  const { code, findings } = await doctor();
  expect(textsOf(findings, 'problem')).toEqual([]);
  expect(textsOf(findings, 'warning')).toEqual([]);
  const { host, port } = world.addresses.db1;
  expect(textsOf(findings, 'ok')).toEqual([
    'settings: they are valid, for the roles api, sync, replica',
    expect.stringMatching(new RegExp(`^DB1: PostgreSQL [0-9.]+ answers as postgres@${host}:${port}/${world.name}$`)),
    expect.stringMatching(/^DB2: PostgreSQL [0-9.]+ answers as /),
    'DB1: the service can work with it, or does already',
    'DB1: it can be captured by wal',
    'DB2: the service can work with it, or does already',
    `Kafka: ${world.addresses.kafka} answers, and the topic ${world.topic} will be created with 3 partitions`,
  ]);
  expect(code).toBe(0);
  const schemas = await world.db1.query(`SELECT FROM pg_namespace WHERE nspname = 'subscription_sync'`);
  expect(schemas.rowCount).toBe(0);
});

test('people read one line for each finding', async () => {
  const { stdout } = await callCli(['doctor'], { ...world.environment(), KAFKA_SERVER: '127.0.0.1:1' });
  expect(stdout).toMatch(/^ok {7}DB1 {7}it can be captured by wal$/m);
  expect(stdout).toMatch(/^PROBLEM {2}Kafka {5}127\.0\.0\.1:1 cannot be used: .*ECONNREFUSED.*$/m);
});

describe('each problem is told with what to do', () => {
  test.each<[string, Record<string, string>, (string | RegExp)[]]>([
    [
      'settings',
      { CAPTURE: 'sometimes', PORT: 'x' },
      [
        'settings: PORT must be a whole number from 0 to 65535, but is "x"',
        'settings: CAPTURE must be one of auto, wal, poll, but is "sometimes"',
      ],
    ],
    ['a wrong password', { DB2_PASSWORD: 'wrong' }, [/^DB2: it cannot be used as .*: password authentication failed/]],
    ['a server without TLS', { DB1_SSLMODE: 'require' }, [/^DB1: it cannot be used as .*: TLS: the server does not offer TLS/]],
    ['a table that is not there', { DB1_TABLE: 'members' }, [/^DB1: .*members/]],
  ])('%s', async (_, env, problems) => {
    const { code, findings } = await doctor(env);
    expect(textsOf(findings, 'problem')).toEqual(problems.map((text) => (typeof text === 'string' ? text : expect.stringMatching(text))));
    expect(code).toBe(1);
  });

  test('a role that may not replicate', async () => {
    const role = `${world.name}_plain`;
    await world.db1.query(
      `CREATE ROLE ${role} LOGIN PASSWORD 'plain'; GRANT ALL ON DATABASE ${world.name} TO ${role}; GRANT ALL ON SCHEMA public TO ${role}`,
    );
    try {
      const env = { DB1_USER: role, DB1_PASSWORD: 'plain' };
      const refusal = `the role ${role} may not replicate: ALTER ROLE ${role} REPLICATION`;
      expect(textsOf((await doctor({ ...env, CAPTURE: 'wal' })).findings, 'problem')).toEqual([
        `DB1: CAPTURE=wal is not possible: ${refusal}`,
      ]);
      expect(textsOf((await doctor({ ...env, CAPTURE: 'auto' })).findings, 'warning')).toEqual([
        `DB1: it will be captured by poll, because ${refusal}`,
      ]);
    } finally {
      await world.db1.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });
});

test('values that Database 2 would refuse are a warning', async () => {
  await world.db1.query('CREATE TABLE members (email text PRIMARY KEY, status varchar(20) NOT NULL)');
  await world.db2.query('CREATE TABLE members (email text PRIMARY KEY, status varchar(10) NOT NULL)');
  const { code, findings } = await doctor({ DB1_TABLE: 'members', DB2_TABLE: 'members', STATUSES: 'active' });
  expect(textsOf(findings, 'problem')).toEqual([]);
  expect(textsOf(findings, 'warning')).toEqual([expect.stringMatching(/^DB2: .*status.*ALTER TABLE/)]);
  expect(code).toBe(0);
  for (const pool of [world.db1, world.db2]) await pool.query('DROP TABLE members');
});
