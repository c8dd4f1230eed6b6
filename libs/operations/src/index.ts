export { Health } from './health.js';
export { HealthModule } from './health.module.js';
export { NestLogger, createLogger } from './logger.js';
export { MetricsModule } from './metrics.module.js';
export { ProblemFilter } from './problem.filter.js';
export { Shutdown } from './shutdown.js';
export { shared } from './shared-answer.js';
export { ApiProblems, PROBLEM_TYPE, problem } from './problem.js';
export {
  Public,
  RequireScope,
  SCOPES,
  SECURITY_SCHEMES,
  accessOf,
  actorOf,
  type Caller,
  type RouteAccess,
  type Scope,
} from './route-access.js';
export { isWithin, requestPipe } from './request.pipe.js';
export { Watchdog, type WatchedPart } from './watchdog.js';
