export { leave } from './leave.js';
export { SyncModule } from './sync.module.js';
