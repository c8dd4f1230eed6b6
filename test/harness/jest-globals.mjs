/** Takes the place of `@jest/globals`, which is to be had from Jest's own module system only. */
export const { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest, test } = globalThis[Symbol.for('jest-globals')];
