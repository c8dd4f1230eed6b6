import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Checkpoint } from './checkpoint.js';

/** Steps of a reader, in any order. A publication that fails is not followed by `publish`. */
const step = fc.oneof(
  { weight: 5, arbitrary: fc.constant('receive' as const) },
  { weight: 2, arbitrary: fc.constant('commit' as const) },
  { weight: 2, arbitrary: fc.constant('keepAlive' as const) },
  { weight: 4, arbitrary: fc.nat({ max: 5 }).map((count) => ({ publish: count })) },
  { weight: 1, arbitrary: fc.constant('fail' as const) },
);

test('never passes an unpublished commit, for any interleaving of receive, publish, fail and keep-alive', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const checkpoint = new Checkpoint<number>();
      let lsn = 0;
      let open = false;
      let published = 0;
      let received = 0;
      /** Position of each change's commit, once known. */
      const commitOf: (number | undefined)[] = [];
      for (const step of steps) {
        lsn += 10;
        if (step === 'receive') {
          if (!open) checkpoint.begin();
          open = true;
          received += 1;
          commitOf.push(undefined);
          checkpoint.receive();
        } else if (step === 'commit') {
          if (!open) checkpoint.begin();
          open = false;
          for (let i = 0; i < commitOf.length; i += 1) commitOf[i] ??= lsn;
          checkpoint.commit(lsn);
        } else if (step === 'keepAlive') {
          // Inside a transaction the server's position is already past changes that are still to come.
          checkpoint.keepAlive(lsn);
        } else if (step !== 'fail') {
          const count = Math.min(step.publish, received - published);
          published += count;
          checkpoint.publish(count);
        }
        const position = checkpoint.position ?? 0;
        for (const commit of commitOf.slice(published)) expect(position).toBeLessThan(commit ?? lsn + 1);
        if (open) expect(position).toBeLessThan(lsn);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('reaches the newest commit once everything is published', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 4 }), { minLength: 1, maxLength: 30 }), (sizes) => {
      const checkpoint = new Checkpoint<number>();
      sizes.forEach((size, index) => {
        checkpoint.begin();
        for (let i = 0; i < size; i += 1) checkpoint.receive();
        checkpoint.commit(index);
      });
      checkpoint.publish(checkpoint.pending);
      expect(checkpoint.position).toBe(sizes.length - 1);
    }),
  );
});

test('a keep-alive advances the position while nothing is in flight', () => {
  const checkpoint = new Checkpoint<number>();
  checkpoint.keepAlive(7);
  expect(checkpoint.position).toBe(7);
  checkpoint.begin();
  checkpoint.keepAlive(8);
  expect(checkpoint.position).toBe(7);
});

test('keep-alives do not accumulate while Kafka is down', () => {
  const checkpoint = new Checkpoint<number>();
  checkpoint.begin();
  checkpoint.receive();
  checkpoint.commit(1);
  for (let lsn = 2; lsn < 1_000; lsn += 1) checkpoint.keepAlive(lsn);
  expect(checkpoint.position).toBeUndefined();
  checkpoint.publish(1);
  expect(checkpoint.position).toBe(999);
});

test('publishing more than was received throws', () => {
  expect(() => new Checkpoint().publish(1)).toThrow(RangeError);
});
