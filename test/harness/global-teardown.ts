import type { Parts } from './parts.js';

export default async function tearDown(): Promise<void> {
  await (globalThis as { testParts?: Parts }).testParts?.close();
}
