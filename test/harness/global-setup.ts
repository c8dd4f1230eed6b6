import 'reflect-metadata';
import { ADDRESSES_VARIABLE } from './addresses.js';
import { Parts } from './parts.js';
import { makeTemplates } from './templates.js';

/** Starts the parts once for all test files. Where they are reaches jest's workers by the environment. */
export default async function setUp(): Promise<void> {
  const parts = await Parts.start();
  (globalThis as { testParts?: Parts }).testParts = parts;
  await makeTemplates(parts.addresses);
  process.env[ADDRESSES_VARIABLE] = JSON.stringify(parts.addresses);
}
