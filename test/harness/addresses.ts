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
