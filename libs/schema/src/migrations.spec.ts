import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

/** SHA-256 of each migration. A released migration never changes: databases that ran it would differ from those that run it later. */
const HASHES: Readonly<Record<string, string>> = {
  'db1/migrations/0001-baseline.sql': 'eafac2984c72b857b257f1cd956eb178b6fc856ad17e3691ec4483d8b76c75d1',
  'db2/migrations/0001-baseline.sql': '32149a26e26effd68cb84ce207d1ef42b5ea531de3798bc33ef5938a7dff5423',
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
