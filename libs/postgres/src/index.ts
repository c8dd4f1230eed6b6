export { findPooler, prepared, type PreparedStatement, type Query, queryOf, queryPrepared, withMaintenanceTimeout } from './client.js';
export { APPLICATION_NAME, commandClient, db1ConnectionOptions, db2ConnectionOptions, sessionOptions } from './connection-options.js';
export { Database, prepareDatabase } from './database.js';
export {
  DatabaseUnavailableError,
  hasSqlstate,
  isDataRefused,
  isLogicalDecodingRefused,
  isPostgresError,
  isUnavailable,
  isUniqueViolation,
  SQLSTATE,
  sqlstateOf,
} from './errors.js';
export { isolateRefused } from './isolate-refused.js';
export { migrate, withSchemaLock } from './migrator.js';
export { type DatabaseConnection, PostgresModule, DB1, DB2 } from './postgres.module.js';
export {
  connectToRemove,
  DECOMMISSION_NAME,
  inspectInstallation,
  type Installation,
  removeInstallation,
  ServiceRunningError,
  waitUntilStopped,
} from './remove-schema.js';
export { ENTER_ROLE_PATH, LEAVE_ROLE_PATH, viewByRole } from './search-path.js';
export { transportOf } from './tls-connection.js';
export {
  asKey,
  columnOf,
  concatenation,
  describeTable,
  fieldsOf,
  hasKey,
  imageExpression,
  isWritable,
  JSON_TYPES,
  keyInOrder,
  keyOperator,
  locateTable,
  oncePerTable,
  rowJson,
  type SubscriptionTable,
  type TableColumn,
  tableLabel,
  tableName,
  travelsAsJson,
} from './subscription-table.js';
