export { addressOf, loggedCaller, withoutEmail } from './caller.js';
export { blockOf, ClientAddresses } from './client-address.js';
export { CredentialEndedError, credentialSignal } from './credential.js';
export { jsonFlaws } from './json-flaws.js';
export {
  ApiProblems,
  ETAG,
  IDEMPOTENCY_REPLAYED,
  INT32,
  INT64,
  location,
  nextLink,
  OptionalHeader,
  PREFERENCE_APPLIED,
  problemResponses,
  RATE_LIMIT,
  STATUS_LINK,
  VERSION,
} from './openapi-decorators.js';
export { IdPipe, limitOf, NextId, NUMBER_OF_QUERY, PageById, pageById, PageSize, WHOLE_NUMBER } from './paging.js';
export { PROBLEM_TYPES } from './problem-types.js';
export {
  type FieldError,
  problem,
  PROBLEM_TYPE,
  ProblemException,
  ProblemFilter,
  ProblemsModule,
  REQUEST_ID_HEADER,
  requestIdOf,
} from './problem.js';
export { accessOf, actorOf, type Caller, mayExport, Public, RequireScope, type Scope, SCOPES, SECURITY_SCHEMES } from './route-scope.js';
export { EVENT_STREAM, StreamingResponses, type StreamingReply } from './streaming-response.js';
export { isPgText, IsPgText, isWithin, PG_TEXT_PATTERN, RequestPipe, RULE_CONTEXT, ruleContextOf, wrongFields } from './validation.js';
