export { BatchStrategy } from './batch-strategy.js';
export { ReplicaModule } from './replica.module.js';
