import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isAcceptableEmail, isWellFormed } from './validators.js';

const word = (characters: string, most: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...Array.from(characters)), minLength: 1, maxLength: most });
/** Lengths around the limits: 64 characters before the @, 63 between two dots. */
const long = fc.integer({ min: 60, max: 67 }).map((length) => 'a'.repeat(length));
const joined = (part: fc.Arbitrary<string>, most: number): fc.Arbitrary<string> =>
  fc.array(part, { minLength: 1, maxLength: most }).map((parts) => parts.join('.'));

/** Emails that are valid or nearly valid, also near the limits of length. */
const emails = fc
  .tuple(fc.oneof(joined(word('ab0_+-.', 8), 3), long), fc.oneof(joined(word('ab0-', 6), 4), long), fc.oneof(word('abc0-', 4), long))
  .map(([user, domain, top]) => `${user}@${domain}.${top}`);

test('the fast path for plain emails accepts only what the complete rule accepts', () => {
  let accepted = 0;
  fc.assert(
    fc.property(emails, (email) => {
      const acceptable = isAcceptableEmail(email);
      if (acceptable) accepted += 1;
      expect(acceptable).toBe(email.length <= 254 && isWellFormed(email));
    }),
    { numRuns: 5_000 },
  );
  expect(accepted).toBeGreaterThan(200);
});
