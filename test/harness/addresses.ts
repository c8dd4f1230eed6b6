import { readEnvironment } from '#config';

/** Where a PostgreSQL server is. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

export interface PartAddresses {
  readonly db1: Address;
  readonly db2: Address;
  readonly kafka: string;
}

/** How jest's workers learn of the parts that its global setup started. */
export const ADDRESSES_VARIABLE = 'SUBSCRIPTION_SYNC_TEST_PARTS';

/** The parts that run for the whole test run. */
export function sharedParts(): PartAddresses {
  const text = readEnvironment()[ADDRESSES_VARIABLE];
  if (text === undefined) throw new Error('The parts are started by test/harness/global-setup.ts: run the tests with `npm test`');
  return JSON.parse(text) as PartAddresses;
}
