import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

/** SHA-256 of each migration. A released migration never changes: databases that ran it would differ from those that run it later. */
const HASHES: Readonly<Record<string, string>> = {
  'db1/migrations/0001-baseline.sql': '8d5992383581b36a0371c3e741f55fbeda63dd1e3a4927fd93ccbef8ce8f906d',
  'db2/migrations/0001-baseline.sql': '7eb205fe04af2986cba520ed5106dd7cce93858b2729e38b8d58397dfd674fbe',
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
