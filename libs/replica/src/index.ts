export { ReplicaModule } from './replica.module.js';
export { createReplicaStrategy } from './replica-strategy.js';
