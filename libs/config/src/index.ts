export { backoffMs, retry, sleep } from './backoff.js';
export { ConfigurationError, type Environment, readEnvironment, Reader, secretText } from './environment.js';
export { isDatabaseSet } from './read-database.js';
export {
  DEFAULT_MAPPING,
  DEFAULT_TABLE,
  readCommandSettings,
  readMigrationSettings,
  readRemovalSettings,
  readSettings,
} from './read-settings.js';
export { isLoopback, isSafeUrl } from './safe-url.js';
export {
  type DatabaseSettings,
  type KafkaSasl,
  type KafkaSecurity,
  type KafkaSettings,
  type KafkaTls,
  type MappingSettings,
  type OidcSettings,
  type Role,
  type Settings,
  type SigningSettings,
  type TableSettings,
  type TlsSettings,
  type TracingSettings,
} from './settings.js';
export { SETTINGS, TIMINGS, configModule } from './config.module.js';
export {
  type AuthTimings,
  type ChangeLogTimings,
  DEFAULT_TIMINGS,
  type ErasureTimings,
  type KafkaTimings,
  type PostgresTimings,
  type ReconciliationTimings,
  type SyncTimings,
  type Timings,
} from './timings.js';
