export { ReplicaTable } from './apply-statement.js';
export { isRefusedData } from './failure-policy.js';
export { ReplicaModule } from './replica.module.js';
