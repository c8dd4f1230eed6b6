export { ReplicationStatusModule } from './replication-status.module.js';
