export type { Part } from './part.js';
export { pickFreePort } from './ports.js';
export { startKafka, type KafkaOptions, type KafkaPart } from './kafka.part.js';
export { startPostgres, type PostgresOptions, type PostgresPart } from './postgres.part.js';
export { StandaloneError } from './standalone.error.js';
