export { readEnvironment, type Environment } from './environment.js';
export { ConfigurationError } from './configuration.error.js';
export { readCommandSettings, readSettings } from './read-settings.js';
export { isSafeUrl } from './read-access.js';
export { type DatabaseSettings, type KafkaSettings, type OidcSettings, type Role, type Settings } from './settings.js';
