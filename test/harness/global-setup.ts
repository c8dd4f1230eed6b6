import 'reflect-metadata';
import { ADDRESSES_VARIABLE } from './addresses.js';
import { Parts } from './parts.js';
import { createServerBundle } from './server-bundle.js';

/** Starts the parts once for all test files. Jest's workers get their addresses by the environment. */
export default async function setUp(): Promise<void> {
  // Few specs need it, and not at once.
  const testBundle = createServerBundle();
  testBundle.catch(() => undefined);
  const pristine = await Parts.makePristine();
  const parts = await Parts.start();
  Object.assign(globalThis, { testParts: parts, testPristine: pristine, testBundle });
  process.env[ADDRESSES_VARIABLE] = JSON.stringify(parts.addresses);
}
