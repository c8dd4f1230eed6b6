export { isRefusedData } from './failure-policy.js';
export { ReplicaTable } from './replica-table.js';
export { ReplicaModule } from './replica.module.js';
