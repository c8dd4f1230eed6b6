import { expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { World } from '../harness/world.js';

test.concurrent.each(['wal', 'poll'] as const)(
  'settings of the databases that change how values are printed change nothing, by %s',
  (capture) =>
    World.lend(
      async (world) => {
        for (const pool of [world.db1, world.db2]) {
          await pool.query(`ALTER DATABASE ${world.name} SET DateStyle = 'SQL, DMY'`);
          await pool.query(`ALTER DATABASE ${world.name} SET TimeZone = 'Asia/Kathmandu'`);
        }
        await world.start();
        await world.ready();
        await world.db1.query(
          `INSERT INTO subscriptions (email, access_until) SELECT i || '@example.com', '2026-12-31T23:59:59.123456Z' FROM generate_series(1, 20) i`,
        );
        await expectEqualDatabases(world);
        const { rows } = await world.db2.query('SELECT FROM subscriptions');
        expect(rows).toHaveLength(20);
      },
      { capture },
    ),
);
