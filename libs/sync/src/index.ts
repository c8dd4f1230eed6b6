export { decommission } from './decommission.js';
export { type Publishable, Publisher } from './publisher.js';
export { SyncModule } from './sync.module.js';
