import { rm } from 'node:fs/promises';
import type { Parts } from './parts.js';

/** Stops the parts, and a world that the specs shared in this process (as when a single file is run). */
export default async function tearDown(): Promise<void> {
  const { testParts, testPristine, testBundle, ...rest } = globalThis as typeof globalThis & {
    testParts?: Parts;
    testPristine?: string;
    testBundle?: Promise<void>;
    [key: symbol]: Promise<{ stop(): Promise<void> }> | undefined;
  };
  // The spec that could not start it has failed with the reason.
  const shared = await rest[Symbol.for('subscription-sync-shared-world')]?.catch(() => undefined);
  await shared?.stop();
  await testParts?.close();
  if (testPristine !== undefined) await rm(testPristine, { recursive: true, force: true });
  // Fails with the reason for which server processes could not be started.
  await testBundle;
}
