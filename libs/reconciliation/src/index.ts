export { ReconciliationModule } from './reconciliation.module.js';
export { RunDesk, type RunState } from './run-desk.js';
export { type Task } from './runs.js';
