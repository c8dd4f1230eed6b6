export { ReplicaTable } from './replica-table.js';
export { ReplicaModule } from './replica.module.js';
