export { BatchStrategy } from './batch.strategy.js';
export { kafkaClientOptions, partitionByKey, withDisconnectTimeout } from './client.js';
export { explainKafkaError, settingsProblemOf } from './connection-errors.js';
export {
  BrokerCheck,
  ensureTopic,
  fetchCommittedOffsets,
  fetchTopicOffsets,
  fetchTopicOffsetsSince,
  fetchTopicRetention,
  inspectTopic,
  type TopicRetention,
} from './topic.js';
export { type PartitionBatch } from './partition-worker.js';
