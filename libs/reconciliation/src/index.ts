export { eraseFromReconciliation } from './erase.js';
export { ReconciliationModule } from './reconciliation.module.js';
export { type RunView } from './reconciliation.dto.js';
export { cancelRun, pauseRun, requestRun, resumeRun } from './run.commands.js';
export { describeTables } from './row-fingerprint.js';
export { findTypeDifferences } from './type-differences.js';
export { estimateRows, readRun, readRuns } from './run.queries.js';
export { type RunRequest } from './runs.js';
export { waitUntilApplied } from './wait-until-applied.js';
