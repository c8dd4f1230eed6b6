export { Health } from './health.js';
export { HealthModule } from './health.module.js';
export { NestLogger, createLogger } from './logger.js';
export { MetricsModule } from './metrics.module.js';
export { ProblemFilter } from './problem.filter.js';
export { Shutdown } from './shutdown.js';
export { shared } from './shared-answer.js';
export { EVENT_STREAM, StreamedAnswers, type StreamingReply } from './streamed-answers.js';
export {
  ETAG,
  IDEMPOTENCY_REPLAYED,
  OptionalHeader,
  PREFERENCE_APPLIED,
  RATE_LIMIT,
  STATUS_LINK,
  location,
  nextLink,
} from './api-headers.js';
export { ApiProblems, problemResponses } from './api-problems.js';
export { IdPipe, NUMBER_OF_QUERY, NextId, PageById, PageSize, WHOLE_NUMBER, limitOf, pageById } from './paging.js';
export { PROBLEM_TYPES } from './problem-types.js';
export { PROBLEM_TYPE, ProblemException, problem } from './problem.js';
export { ProblemsModule } from './problems.module.js';
export { REQUEST_ID_HEADER, requestIdOf } from './request-id.js';
export { Public, RequireScope, SCOPES, SECURITY_SCHEMES, accessOf, actorOf, type Caller, type Scope } from './route-access.js';
export { isWithin, requestPipe, wrongFields } from './request.pipe.js';
export { IsStorable, STORABLE_PATTERN, isStorable } from './storable-text.js';
export { Watchdog, type WatchedPart } from './watchdog.js';
