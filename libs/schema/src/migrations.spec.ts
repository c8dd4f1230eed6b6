import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

/** SHA-256 of each migration. A released migration never changes: databases that ran it would differ from those that run it later. */
const HASHES: Readonly<Record<string, string>> = {
  'db1/migrations/0001-baseline.sql': '5130e1a6fff58e7968ebf238cd1c88dd7c6a4494f677d96f5364920fee8ef0d8',
  'db2/migrations/0001-baseline.sql': 'd2cfb05e508cdb308443f78a3fb61ce331233e01a35888095736ab3b7a331498',
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
