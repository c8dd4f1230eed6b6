interface ProblemType {
  readonly status: number;
  readonly title: string;
  /** What it means, and what to do: docs/api/problems.md and `GET /problems/<name>` say the same. */
  readonly meaning: string;
  /** What one says, with the members of its own. */
  readonly example: { readonly detail: string; readonly [member: string]: unknown };
}

/**
 * Every kind of error of the HTTP interface. Its name is the end of its `type`, `/problems/<name>` (RFC 9457), which clients may rely on:
 * names are only added. docs/api/problems.md is this table.
 */
export const PROBLEM_TYPES = {
  'invalid-request': {
    status: 400,
    title: 'Bad request',
    meaning: 'Something in the request is wrong; `errors` names each field. Nothing was changed. Mend the request.',
    example: {
      detail: 'The request has wrong fields',
      errors: [{ field: 'cancel_at_period_end', detail: 'must be true or false', pointer: '/cancel_at_period_end' }],
    },
  },
  unauthorized: {
    status: 401,
    title: 'Unauthorized',
    meaning: 'The request has no credential, or one that is not valid.',
    example: { detail: 'The API key has expired' },
  },
  forbidden: {
    status: 403,
    title: 'Forbidden',
    meaning: 'The credential does not allow this.',
    example: { detail: 'The credential lacks the scope "write"' },
  },
  'not-found': {
    status: 404,
    title: 'Not found',
    meaning: 'There is none of that name.',
    example: { detail: 'No subscription with this email' },
  },
  'no-such-route': {
    status: 404,
    title: 'Not found',
    meaning: 'There is nothing at this path. `/docs` lists every route.',
    example: { detail: 'There is nothing at this path' },
  },
  'method-not-allowed': {
    status: 405,
    title: 'Method not allowed',
    meaning: 'The path has other methods; `Allow` lists them.',
    example: { detail: 'This path has no PUT' },
  },
  'request-timeout': {
    status: 408,
    title: 'Request timeout',
    meaning: 'The request did not arrive in time. Send it again.',
    example: { detail: 'The request did not arrive in time' },
  },
  conflict: {
    status: 409,
    title: 'Conflict',
    meaning: 'What is there is in the way. Nothing was changed.',
    example: { detail: 'Another row has a value that must be unique: constraint one_subscription_per_device' },
  },
  'already-exists': {
    status: 409,
    title: 'Conflict',
    meaning: 'A subscription with this email exists. Nothing was changed. Use PUT or PATCH to change it.',
    example: {
      detail: 'A subscription with this email exists',
      errors: [{ field: 'email', detail: 'is taken', pointer: '/email' }],
    },
  },
  'illegal-transition': {
    status: 409,
    title: 'Illegal transition',
    meaning:
      'The lifecycle does not let this status follow the present one. Nothing was changed. `from` is the present status, `allowed` lists what may follow; `allowed_by_reactivation` what may when the request says `"reactivate": true`.',
    example: {
      detail: 'active may not follow canceled',
      from: 'canceled',
      allowed: [],
      allowed_by_reactivation: ['pending', 'trialing', 'active'],
      errors: [{ field: 'status', detail: 'canceled is an end', pointer: '/status' }],
    },
  },
  'idempotency-key-in-use': {
    status: 409,
    title: 'Idempotency key in use',
    meaning: 'A request with this Idempotency-Key is being answered at this moment. Send it again after `Retry-After` seconds.',
    example: { detail: 'A request with this Idempotency-Key is being answered' },
  },
  'not-replicated-yet': {
    status: 409,
    title: 'Not replicated yet',
    meaning:
      'Database 2 does not have that version yet. `min_version` is what was asked for, `version_in_db2` what it has, null when it knows nothing of the subscription. Ask again, with `Prefer: wait`.',
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
    meaning: 'The change log no longer holds what follows the cursor. Start again without one.',
    example: {
      detail:
        'The change log no longer holds all that follows the cursor (LOG_RETENTION_DAYS). Read the subscriptions anew, then start without a cursor',
    },
  },
  'precondition-failed': {
    status: 412,
    title: 'Precondition failed',
    meaning:
      'If-Match or If-None-Match does not hold. Nothing was changed. `current_version`, where the subscription exists, is what it is at. Read it, decide again, and send that version.',
    example: { detail: 'If-Match does not hold', current_version: 43 },
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
    meaning: 'A part of the path is longer than an email can be.',
    example: { detail: 'A part of the path is longer than 1024 characters' },
  },
  'unsupported-media-type': {
    status: 415,
    title: 'Unsupported media type',
    meaning: 'The body is not application/json; PATCH also takes application/merge-patch+json, an import application/x-ndjson or text/csv.',
    example: { detail: 'Unsupported Media Type' },
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'Idempotency key reused',
    meaning: 'This Idempotency-Key was used for another request within 24 hours. Nothing was changed. Use a new key for a new request.',
    example: { detail: 'This Idempotency-Key was used for another request' },
  },
  'unreadable-file': {
    status: 422,
    title: 'Unreadable file',
    meaning:
      'The file can not be read any further. What was read before is done; the job `import` says how much. Mend the file and send it again: what is there already does no harm.',
    example: {
      detail:
        'Line 1 must name the columns; email is missing. What was read before it, 0 lines, is done (import 0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d)',
      import: '0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d',
    },
  },
  'too-many-requests': {
    status: 429,
    title: 'Too many requests',
    meaning: 'Over the limit. Send it again after `Retry-After` seconds.',
    example: { detail: 'Too many requests with this credential. Try again in 12 s' },
  },
  'headers-too-large': {
    status: 431,
    title: 'Headers too large',
    meaning: 'The headers are larger than 16 KB.',
    example: { detail: 'The headers are larger than 16 KB' },
  },
  'internal-error': {
    status: 500,
    title: 'Error',
    meaning: 'An error of the service. Its log has the details under `request_id`.',
    example: { detail: 'An error of the service. The log has the details.' },
  },
  unavailable: {
    status: 503,
    title: 'Service unavailable',
    meaning:
      'The database does not answer, or as many such requests as may run already. Nothing was changed, unless the answer to a committed write got lost: an Idempotency-Key makes it safe to send it again after `Retry-After` seconds.',
    example: { detail: 'Database 1 does not answer. Nothing was changed unless the answer to a committed write got lost; try again.' },
  },
} as const satisfies Record<string, ProblemType>;

export type ProblemName = keyof typeof PROBLEM_TYPES;

export function isProblemName(name: string): name is ProblemName {
  return Object.hasOwn(PROBLEM_TYPES, name);
}

/** What an error is of which only the status is known: the first of that status, none for one without a kind. */
export function problemNameOf(status: number): ProblemName | undefined {
  return (Object.keys(PROBLEM_TYPES) as ProblemName[]).find((name) => name !== 'no-such-route' && PROBLEM_TYPES[name].status === status);
}
