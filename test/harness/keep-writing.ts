import { Random } from './random.js';
import { randomOperation } from './random-operations.js';
import type { World } from './world.js';

/** Writes at random until the returned function is called. */
export function keepWriting(world: World, writers: number): () => Promise<void> {
  let going = true;
  const writing = Array.from({ length: writers }, async (_, seed) => {
    const random = new Random(seed);
    const client = await world.db1.connect();
    while (going) await randomOperation(world, client, random);
    client.release();
  });
  return async () => {
    going = false;
    await Promise.all(writing);
  };
}
