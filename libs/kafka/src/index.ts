export { BatchStrategy, type PartitionBatch } from './batch.strategy.js';
export { kafkaClientOptions, METADATA_MAX_AGE_MS, partitionByKey, unlessLeftBehind } from './client.js';
export { BrokerCheck, ensureTopic, fetchCommittedOffsets, fetchTopicOffsets } from './topic.js';
