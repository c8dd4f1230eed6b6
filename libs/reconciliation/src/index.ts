export { ReconciliationModule } from './reconciliation.module.js';
export { RunDesk, type RunState } from './run.commands.js';
export { type RunRequest } from './runs.js';
