/** Replaces `@jest/globals`, which is available only from Jest's own module system. */
export const { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest, test } = globalThis[Symbol.for('jest-globals')];
