interface ProblemType {
  readonly status: number;
  readonly title: string;
  /** The meaning and what the client should do. The page docs/api/problems.md and `GET /problems/<name>` show the same text. */
  readonly meaning: string;
  /** An example of its `detail` and of the members that only this type has. */
  readonly example: { readonly detail: string; readonly [member: string]: unknown };
}

/**
 * All problem types of the HTTP interface (RFC 9457). A name is the last segment of its `type`, `/problems/<name>`. Clients rely on the
 * names, so they are only added, never changed or removed. The page docs/api/problems.md has the same table.
 */
export const PROBLEM_TYPES = {
  'invalid-request': {
    status: 400,
    title: 'Bad request',
    meaning:
      'The request is not valid; `errors` lists every invalid field. Nothing was changed. Correct the request before sending it again.',
    example: {
      detail: 'The request has invalid fields',
      errors: [{ field: 'cancel_at_period_end', detail: 'must be true or false', pointer: '/cancel_at_period_end' }],
    },
  },
  unauthorized: {
    status: 401,
    title: 'Unauthorized',
    meaning: 'The request has no credential, or its credential is not valid.',
    example: { detail: 'The API key has expired' },
  },
  forbidden: {
    status: 403,
    title: 'Forbidden',
    meaning:
      'The credential does not have the scope that this operation requires; or access is open, and the request comes from a web page of another site or names another host.',
    example: { detail: 'The credential lacks the scope "write"' },
  },
  'not-found': {
    status: 404,
    title: 'Not found',
    meaning: 'The requested resource does not exist.',
    example: { detail: 'No subscription has this email' },
  },
  'no-such-route': {
    status: 404,
    title: 'Not found',
    meaning: 'No route matches this path. `/docs` lists all routes.',
    example: { detail: 'No route matches this path' },
  },
  'method-not-allowed': {
    status: 405,
    title: 'Method not allowed',
    meaning: 'The path does not support this method. The `Allow` header lists the methods that it supports.',
    example: { detail: 'This path does not support PUT' },
  },
  'request-timeout': {
    status: 408,
    title: 'Request timeout',
    meaning: 'The server did not receive the complete request in time. Send it again.',
    example: { detail: 'The server did not receive the complete request in time' },
  },
  conflict: {
    status: 409,
    title: 'Conflict',
    meaning: 'The request conflicts with the current state. Nothing was changed.',
    example: { detail: 'Another row already has a value that must be unique: constraint one_subscription_per_device' },
  },
  'already-exists': {
    status: 409,
    title: 'Conflict',
    meaning: 'A subscription with this email already exists. Nothing was changed. Use PUT or PATCH to change it.',
    example: {
      detail: 'A subscription with this email already exists',
      errors: [{ field: 'email', detail: 'is already in use', pointer: '/email' }],
    },
  },
  'illegal-transition': {
    status: 409,
    title: 'Illegal transition',
    meaning:
      'The current status cannot change to the requested status. Nothing was changed. `from` is the current status. `allowed` lists the statuses that may follow it, `allowed_by_reactivation` those that may follow it when the request contains `"reactivate": true`.',
    example: {
      detail: 'The status cannot change from canceled to active',
      from: 'canceled',
      allowed: [],
      allowed_by_reactivation: ['pending', 'trialing', 'active'],
      errors: [{ field: 'status', detail: 'canceled is a final status', pointer: '/status' }],
    },
  },
  'idempotency-key-in-use': {
    status: 409,
    title: 'Idempotency key in use',
    meaning:
      'Another request with this Idempotency-Key is still in progress. Nothing was changed by this one. Send it again after `Retry-After` seconds.',
    example: { detail: 'Another request with this Idempotency-Key is still in progress' },
  },
  'not-replicated-yet': {
    status: 409,
    title: 'Not replicated yet',
    meaning:
      'Database 2 does not have the requested version yet. `min_version` is the requested version. `version_in_db2` is the version in Database 2, or null when Database 2 does not have the subscription. Send the request again, with `Prefer: wait`.',
    example: {
      detail: 'Database 2 has version 41 of this subscription, not version 42',
      min_version: 42,
      version_in_db2: 41,
      errors: [{ field: 'min_version', detail: 'is 42; Database 2 has 41' }],
    },
  },
  gone: {
    status: 410,
    title: 'Gone',
    meaning:
      'The change log no longer contains the changes that follow the cursor, or Database 1 was restored to a state before it. Request `/events?after=now` first, then read all subscriptions (`/subscriptions/export`), then continue from that cursor.',
    example: {
      detail:
        'The change log no longer has all events after the cursor (LOG_RETENTION_DAYS). Request `after=now` first, then read all subscriptions, then continue from that cursor',
    },
  },
  'precondition-failed': {
    status: 412,
    title: 'Precondition failed',
    meaning:
      'The condition in If-Match or If-None-Match is not met. Nothing was changed. `ETag` is that of the subscription, if it exists. Read the subscription again before you retry with its new ETag.',
    example: { detail: 'The condition in If-Match is not met' },
  },
  'content-too-large': {
    status: 413,
    title: 'Content too large',
    meaning: 'The body is larger than 64 KB.',
    example: { detail: 'Request body is too large' },
  },
  'uri-too-long': {
    status: 414,
    title: 'URI too long',
    meaning: 'A segment of the path is longer than any email address.',
    example: { detail: 'A segment of the path is longer than 1024 characters' },
  },
  'unsupported-media-type': {
    status: 415,
    title: 'Unsupported media type',
    meaning:
      'The media type of the body is not supported. Send application/json; PATCH also accepts application/merge-patch+json, and an import accepts application/x-ndjson, text/csv, a JSON array, application/gzip and multipart/form-data. Where the Content-Encoding is not supported, `Accept-Encoding` lists those that are.',
    example: { detail: 'Unsupported Media Type' },
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'Idempotency key reused',
    meaning:
      'This Idempotency-Key was used for a different request within the last 24 hours. Nothing was changed. Use a new key for each new request.',
    example: { detail: 'This Idempotency-Key was used for a different request' },
  },
  'unreadable-file': {
    status: 422,
    title: 'Unreadable file',
    meaning:
      'The rest of the file cannot be read. The lines before the error were imported; the import job `import` says how many. Correct the file and send it again: importing a line a second time changes nothing.',
    example: {
      detail: 'Line 1 must name the columns; missing: email. Lines done before the error: 0 (import 0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d)',
      import: '0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d',
    },
  },
  'too-many-requests': {
    status: 429,
    title: 'Too many requests',
    meaning: 'The rate limit is exceeded. Send the request again after `Retry-After` seconds.',
    example: { detail: 'Too many requests with this credential. Try again in 12 s' },
  },
  'headers-too-large': {
    status: 431,
    title: 'Headers too large',
    meaning: 'The URL and the headers together are larger than 16 KB.',
    example: { detail: 'The URL and the headers together are larger than 16 KB' },
  },
  'internal-error': {
    status: 500,
    title: 'Internal server error',
    meaning: 'An unexpected error occurred in the service. The log of the service contains the details under `request_id`.',
    example: { detail: 'An unexpected error occurred. The log of the service contains the details.' },
  },
  unavailable: {
    status: 503,
    title: 'Service unavailable',
    meaning:
      'A database does not respond, or the maximum number of such requests is already in progress. Nothing was changed, unless the response of the database to a committed write was lost. With an Idempotency-Key it is safe to send a write again after `Retry-After` seconds.',
    example: { detail: 'Database 1 does not respond. Nothing was changed, unless its response to a committed write was lost. Try again.' },
  },
} as const satisfies Record<string, ProblemType>;

export type ProblemName = keyof typeof PROBLEM_TYPES;

export function isProblemName(name: string): name is ProblemName {
  return Object.hasOwn(PROBLEM_TYPES, name);
}

/** Returns the default problem type for an HTTP status, or undefined if it has none. */
export function problemNameOf(status: number): ProblemName | undefined {
  return (Object.keys(PROBLEM_TYPES) as ProblemName[]).find((name) => name !== 'no-such-route' && PROBLEM_TYPES[name].status === status);
}
