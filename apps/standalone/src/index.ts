export { type Detour } from './kafka-properties.js';
export { pickFreePort } from './ports.js';
export { startKafka, type KafkaPart } from './kafka.part.js';
export { startPostgres, type PostgresPart } from './postgres.part.js';
export { makePlan } from './plan.js';
