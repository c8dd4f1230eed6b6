export { BATCH } from './change.js';
export { leave } from './leave.js';
export { Publisher, type Publishable } from './publisher.js';
export { SyncModule } from './sync.module.js';
