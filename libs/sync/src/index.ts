export { leave } from './leave.js';
export { type Publishable, Publisher } from './publisher.js';
export { SyncModule } from './sync.module.js';
