export { TrackingModule } from './replication-status.module.js';
