import { ENTER_ROLE_PATH, keyOperator, type SubscriptionTable } from '#postgres';
import { CREATE_ANALYZE_FUNCTION } from '../owner-functions.js';
import { CREATE_READ_VALUE, type FunctionSet } from '../install-functions.js';

/** The function whose comment holds the hash of all functions of DB2. */
const MARKED_FUNCTION = 'subscription_sync.delete_rows(anyarray)';

/**
 * `subscription_sync.delete_rows` deletes rows for the statement that applies a batch (libs/replica, apply-statement). A statement in a function
 * has its own snapshot, which is as new as the locks that the caller holds. The array's type is that of the column, so that its index is used.
 */
export function db2Functions(table: SubscriptionTable): FunctionSet {
  return {
    marked: MARKED_FUNCTION,
    statements: [
      CREATE_READ_VALUE,
      CREATE_ANALYZE_FUNCTION,
      `
CREATE OR REPLACE FUNCTION subscription_sync.delete_rows(keys anyarray) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  DELETE FROM ${table.sql} s WHERE s.${table.key} ${keyOperator(table, '=')} ANY ($1) AND (SELECT ${ENTER_ROLE_PATH}) IS NOT NULL;
END $$`,
    ],
  };
}
