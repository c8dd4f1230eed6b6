import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import type { DatabaseSettings } from '#config';
import { runOn, sharedParts } from '../../../test/harness/addresses.js';
import { eventually } from '../../../test/harness/eventually.js';
import { Pooler, POOLER_VERSION } from '../../../test/harness/pooler.js';
import { TEST_TIMINGS } from '../../../test/harness/timings.js';
import { findSessionProblem, LeaderLease } from './leader-lease.js';

const describePoolers = POOLER_VERSION ? describe : describe.skip;

describePoolers('the address for the capture', () => {
  const IGNORED = ['options', 'statement_timeout', 'application_name'];

  test.each([
    ['refuses the settings of a connection', {}],
    ['ignores them', { ignored: IGNORED }],
    ['ignores them, and lends a session as long as a client is connected', { ignored: IGNORED, mode: 'session' }],
  ] as const)('must not be that of a pooler which %s', async (_, options) => {
    const { db1 } = sharedParts();
    const pooler = await Pooler.start(db1, { [db1.user]: db1.password }, options);
    try {
      const settings = { ...pooler.address, database: 'postgres', poolSize: 1 };
      expect(await findSessionProblem(settings, TEST_TIMINGS.sync)).toContain('DB1 is reached through a pooler');
      expect(await findSessionProblem({ ...db1, database: 'postgres', poolSize: 1, direct: settings }, TEST_TIMINGS.sync)).toContain(
        'DB1_DIRECT_URL leads to a pooler',
      );
    } finally {
      await pooler.close();
    }
  });

  test.each([
    [
      'not be that of a pooler which passes them on, and lends sessions for a transaction',
      'transaction',
      4,
      'DB1 is reached through a pooler',
    ],
    ['be that of one which lends a session as long as a client is connected', 'session', 4, undefined],
    ['be that of one which has no other session to lend', 'session', 1, undefined],
  ] as const)('may %s', async (_, mode, sessions, problem) => {
    await passOn({ mode, sessions }, async (settings) => {
      const timings = { ...TEST_TIMINGS.sync, statementTimeoutMs: 300, answerTimeoutMs: 500 };
      const found = await findSessionProblem(settings, timings);
      expect(found).toEqual(problem === undefined ? undefined : expect.stringContaining(problem));
    });
  });

  test('that is a pooler all the same is noticed when it changes the session, with which the lease is gone', () =>
    passOn({ mode: 'transaction', clients: 1 }, async (settings) => {
      const lease = new LeaderLease(settings, TEST_TIMINGS.sync);
      try {
        await lease.acquire(AbortSignal.timeout(10_000), () => undefined);
        const sessions = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${settings.user}'`;
        await runOn(sharedParts().db1, sessions);
        await eventually(() => lease.signal.aborted, 10_000);
        expect(lease.signal.reason).toMatchObject({ message: expect.stringContaining('DB1 is reached through a pooler') });
      } finally {
        await lease.release();
      }
    }));

  /** Calls `work` with the address of a pooler that seems to pass a connection's settings on. PgBouncer does not: the role has the one that is looked for. */
  async function passOn(options: Parameters<typeof Pooler.start>[2], work: (settings: DatabaseSettings) => Promise<void>): Promise<void> {
    const { db1 } = sharedParts();
    const name = `own_${randomBytes(4).toString('hex')}`;
    await runOn(db1, `CREATE ROLE ${name} LOGIN PASSWORD '${name}'`);
    await runOn(db1, `ALTER ROLE ${name} SET subscription_sync.own_session = 'yes'`);
    const pooler = await Pooler.start(db1, { [name]: name, [db1.user]: db1.password }, { ...options, ignored: IGNORED });
    try {
      await work({ ...pooler.address, user: name, password: name, database: 'postgres', poolSize: 1 });
    } finally {
      await pooler.close();
      await runOn(db1, `DROP ROLE ${name}`);
    }
  }
});
