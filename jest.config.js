/**
 * Real PostgreSQL and Kafka are started once (test/harness/global-setup.ts); every test makes its own databases and topic in them.
 * Jest loads its global setup outside its own module system, so that one comes from the build.
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
  // Minutes of both cores, and of no use without the size: npm run test:memory. The nemesis looks at each process's heap.
  testPathIgnorePatterns: ['/node_modules/', ...(process.env.MEMORY_TESTS === undefined ? ['<rootDir>/test/memory/'] : [])],
  // Three made each slower by half on two cores, and bounds of time were missed.
  maxWorkers: 2,
  /** Of one spec's tests that run side by side, because they wait for most of their time. */
  maxConcurrency: 8,
};
