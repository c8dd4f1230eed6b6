export {
  ETAG,
  IDEMPOTENCY_REPLAYED,
  location,
  nextLink,
  OptionalHeader,
  PREFERENCE_APPLIED,
  RATE_LIMIT,
  STATUS_LINK,
} from './api-headers.js';
export { ApiProblems, problemResponses } from './api-problems.js';
export { HealthModule } from './health.module.js';
export { MetricsModule } from './metrics.module.js';
export { IdPipe, limitOf, NextId, NUMBER_OF_QUERY, PageById, pageById, PageSize, WHOLE_NUMBER } from './paging.js';
export { PROBLEM_TYPES } from './problem-types.js';
export { ProblemFilter } from './problem.filter.js';
export { problem, PROBLEM_TYPE, ProblemException } from './problem.js';
export { ProblemsModule } from './problems.module.js';
export { REQUEST_ID_HEADER, requestIdOf } from './request-id.js';
export { isWithin, requestPipe, wrongFields } from './request.pipe.js';
export { accessOf, actorOf, type Caller, Public, RequireScope, type Scope, SCOPES, SECURITY_SCHEMES } from './route-access.js';
export { isStorable, IsStorable, STORABLE_PATTERN } from './storable-text.js';
export { EVENT_STREAM, StreamedAnswers, type StreamingReply } from './streamed-answers.js';
