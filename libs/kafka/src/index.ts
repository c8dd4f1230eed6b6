export { BrokerCheck } from './broker-check.js';
export { kafkaClientOptions, METADATA_MAX_AGE_MS } from './client-options.js';
export { unlessLeftBehind } from './goodbye.js';
export { partitionByKey } from './partitioner.js';
export { ensureTopic, fetchCommittedOffsets, fetchTopicOffsets } from './topic.js';
