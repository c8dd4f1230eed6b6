import type { Parts } from './parts.js';

/** Ends the parts. A world that the specs shared in this process (one file alone runs so) ends with them. */
export default async function tearDown(): Promise<void> {
  const shared = await (globalThis as { [key: symbol]: Promise<{ stop(): Promise<void> }> | undefined })[
    Symbol.for('subscription-sync-shared-world')
  ];
  await shared?.stop();
  await (globalThis as { testParts?: Parts }).testParts?.close();
}
