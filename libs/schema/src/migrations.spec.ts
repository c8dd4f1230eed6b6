import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

/** SHA-256 of each migration. A released migration never changes: databases that ran it would differ from those that run it later. */
const HASHES: Readonly<Record<string, string>> = {
  'db1/migrations/0001-subscriptions.sql': 'eef186ad454fa9dcb9b57a52f7205a3c8fda2d5d329c8a7246b57e72e03616a3',
  'db1/migrations/0001-baseline.sql': '84ad32fb9d9c61d6b953314360da04f0089a2c1089634b81e8ee0210d671aac8',
  'db2/migrations/0001-subscriptions.sql': 'bafbd7d98c9203e43fcd99b39642a96559e690defe440aa9b17382aa2088c477',
  'db2/migrations/0001-baseline.sql': '6b6600daf752e6feeb4deb3cfb3e3b5587190c0544bfe73584eb45f07ddd092b',
};

test('no migration has changed, and each has its hash here', () => {
  const found = ['db1/migrations', 'db2/migrations'].flatMap((folder) =>
    readdirSync(join(import.meta.dirname, folder)).map((name) => `${folder}/${name}`),
  );
  const hashes = found.map((file) => [
    file,
    createHash('sha256')
      .update(readFileSync(join(import.meta.dirname, file)))
      .digest('hex'),
  ]);
  expect(Object.fromEntries(hashes)).toEqual(HASHES);
});
