import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isolateRefused } from './isolate-refused.js';

test('of a batch that is refused, the bad items alone are returned, and all others are taken once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 40 }), async (flags) => {
      const items = flags.map((isBad, at) => ({ at, isBad }));
      const taken: typeof items = [];
      const refused = await isolateRefused(items, (part) => {
        if (part.some(({ isBad }) => isBad)) return Promise.resolve('bad');
        taken.push(...part);
        return Promise.resolve(undefined);
      });
      expect(taken).toEqual(items.filter(({ isBad }) => !isBad));
      expect(refused).toEqual(items.filter(({ isBad }) => isBad).map((item) => ({ item, reason: 'bad' })));
    }),
  );
});

test('an error that is not about the items ends the search', async () => {
  await expect(isolateRefused([1, 2], () => Promise.reject(new Error('the connection is gone')))).rejects.toThrow('the connection is gone');
});
