import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

/** SHA-256 of each migration. A released migration never changes: databases that ran it would differ from those that run it later. */
const HASHES: Readonly<Record<string, string>> = {
  'db1/migrations/0001-subscriptions.sql': 'ad1bb7cee7bd08d3b0e62bb6f86b59ad9704bd2be1777bc82d8ee4378038f52d',
  'db1/migrations/0001-baseline.sql': '1650e72a58632fd5a41556f793789f2c32224a97e24fce0ef7440e986397fb4d',
  'db2/migrations/0001-subscriptions.sql': 'fed424fc438e04596eb54354125789e19d11b8f0e9b244ff9a80201828e56964',
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
