import { DataSource } from 'typeorm';
import { db1ConnectionOptions, db2ConnectionOptions } from '#postgres';
import type { World } from './world.js';

/** Opens both databases of a world as the service does, each with two connections. The caller destroys them. */
export function openDataSources({ addresses, name }: World): Promise<[db1: DataSource, db2: DataSource]> {
  const at = (part: 'db1' | 'db2') => ({ ...addresses[part], database: name, poolSize: 2 });
  return Promise.all([
    new DataSource(db1ConnectionOptions(at('db1'))).initialize(),
    new DataSource(db2ConnectionOptions(at('db2'))).initialize(),
  ]);
}
