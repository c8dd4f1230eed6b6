export { type Detour, startKafka, type KafkaPart } from './kafka.js';
export { pickFreePort, makePlan } from './plan.js';
export { startPostgres, type PostgresPart } from './postgres.js';
