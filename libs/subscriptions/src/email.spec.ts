import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isAcceptableEmail, isWellFormed } from './validators.js';

const word = (characters: string, most: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...Array.from(characters)), minLength: 1, maxLength: most });
/** Around the longest that there may be: 64 before the @, 63 between two dots. */
const long = fc.integer({ min: 60, max: 67 }).map((length) => 'a'.repeat(length));
const joined = (part: fc.Arbitrary<string>, most: number): fc.Arbitrary<string> =>
  fc.array(part, { minLength: 1, maxLength: most }).map((parts) => parts.join('.'));

/** Nearly right, near the bounds of lengths too. */
const emails = fc
  .tuple(fc.oneof(joined(word('ab0_+-.', 8), 3), long), fc.oneof(joined(word('ab0-', 6), 4), long), fc.oneof(word('abc0-', 4), long))
  .map(([user, domain, top]) => `${user}@${domain}.${top}`);

test('the short cut for plain emails takes nothing that the rule does not', () => {
  let taken = 0;
  fc.assert(
    fc.property(emails, (email) => {
      const acceptable = isAcceptableEmail(email);
      if (acceptable) taken += 1;
      expect(acceptable).toBe(email.length <= 254 && isWellFormed(email));
    }),
    { numRuns: 5_000 },
  );
  expect(taken).toBeGreaterThan(200);
});
