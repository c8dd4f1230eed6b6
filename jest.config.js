/**
 * Real PostgreSQL and Kafka are started once (test/harness/global-setup.ts); tests create databases and topics of their own in them.
 * Jest loads its global setup outside the runner's module hooks, so it comes from the build.
 */
export default {
  testEnvironment: 'node',
  testRunner: '<rootDir>/test/harness/runner.mjs',
  roots: ['<rootDir>/apps', '<rootDir>/libs', '<rootDir>/test'],
  testMatch: ['**/*.spec.ts'],
  transform: {},
  globalSetup: '<rootDir>/dist/test/harness/global-setup.js',
  globalTeardown: '<rootDir>/dist/test/harness/global-teardown.js',
  testSequencer: '<rootDir>/test/harness/longest-first.mjs',
  // Ends a test that hangs. A machine that is three times slower, or busy, needs up to two minutes for the longest.
  testTimeout: 180_000,
  // The memory specs keep both cores busy for minutes and mean nothing at a smaller size: npm run test:long runs them.
  testPathIgnorePatterns: ['/node_modules/', ...(process.env.LONG_TESTS === undefined ? ['<rootDir>/test/memory/'] : [])],
  // One more than the processors of a small machine: with two, they were idle for a sixth of the time.
  maxWorkers: 3,
  // Maximum number of concurrent tests of one spec: they wait for most of their time.
  maxConcurrency: 8,
};
