import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { callCli } from '../harness/command-line.js';
import { DatabaseRoles } from '../harness/database-roles.js';
import { eventually, problemOf } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { World } from '../harness/world.js';

describe('the schema is brought up to date by its owner', () => {
  let world: World;
  let roles: DatabaseRoles;
  let server: ServerProcess | undefined;

  beforeAll(async () => {
    world = await World.create({ unmigrated: true });
    roles = await DatabaseRoles.create(world);
  });
  afterAll(async () => {
    await roles.drop();
    await world.close();
  });

  const COMMAND = 'npx subscription-sync migrate';
  const problemOfApi = (url: string): Promise<string> => eventually(() => problemOf(url, 'db1'));

  test('by a command, which a user that may not install the service is told of', async () => {
    const { code, stdout, stderr } = await callCli(['migrate'], roles.environment('api'));
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(`let the owner of the database install the service: ${COMMAND}`);
  });

  test('from nothing, and again', async () => {
    for (let run = 1; run <= 2; run += 1) {
      const { code, stdout, stderr } = await callCli(['migrate'], world.environment());
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout.split('\n').sort()).toEqual([
        '',
        expect.stringMatching(/^Database 1 \(postgres@.*\) is up to date\.$/),
        expect.stringMatching(/^Database 2 \(postgres@.*\) is up to date\.$/),
      ]);
    }
  });

  test('the doctor names what a user lacks', async () => {
    await Promise.all([roles.grant('db1'), roles.grant('db2')]);
    await world.db1.query(`REVOKE INSERT, UPDATE ON subscription_sync.imports FROM ${roles.userOf('api')}`);
    await world.db2.query(`REVOKE SELECT ON subscriptions FROM ${roles.userOf('api')}`);
    const { code, stdout } = await callCli(['doctor'], roles.environment('api'));
    const user = roles.userOf('api');
    expect(stdout).toContain(
      `PROBLEM  DB1       permission denied in the schema subscription_sync of DB1: the role ${user} lacks INSERT on imports, UPDATE on imports, for ROLES=api. ` +
        'Its owner postgres has to run deploy/sql/db1-roles.sql of this release',
    );
    expect(stdout).toContain(
      `PROBLEM  DB2       permission denied for table DB2.subscriptions: the role ${user} lacks SELECT. GRANT SELECT ON`,
    );
    expect(code).toBe(1);
    await Promise.all([roles.grant('db1'), roles.grant('db2')]);
    for (const role of ['api', 'sync', 'replica'] as const) {
      const { stdout: findings } = await callCli(['doctor'], { ...roles.environment(role), CAPTURE: 'poll' });
      expect(findings).not.toContain('PROBLEM');
    }
  });

  test('before a process of a later release can start', async () => {
    server = await ServerProcess.launch(roles.environment('api'), ['--import', './dist/test/harness/added-column.js']);
    try {
      expect(await problemOfApi(server.url)).toContain(
        `the schema subscription_sync of DB1 is of an earlier release, and the role ${roles.userOf('api')} may not change it. ` +
          `Its owner postgres has to bring it up to date, with this release and these settings: ${COMMAND}`,
      );
    } finally {
      await server.signal('SIGTERM');
    }
  });

  test("after a change of the table's columns, and the process continues by itself", async () => {
    await world.db1.query('ALTER TABLE subscriptions ADD COLUMN coupon text');
    server = await ServerProcess.launch(roles.environment('api'));
    try {
      expect(await problemOfApi(server.url)).toContain(`is not made for this release, these settings and the table's columns`);
      expect((await callCli(['migrate'], world.environment())).code).toBe(0);
      await server.ready();
    } finally {
      await server.signal('SIGTERM');
    }
  });
});
