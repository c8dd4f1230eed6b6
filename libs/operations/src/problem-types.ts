interface ProblemType {
  readonly status: number;
  readonly title: string;
  /** What it means, and what to do: docs/problems.md and `GET /problems/<name>` say the same. */
  readonly meaning: string;
}

/**
 * Every kind of error of the HTTP interface. Its name is the end of its `type`, `/problems/<name>` (RFC 9457), which clients may rely on:
 * names are only added. docs/problems.md is this table.
 */
export const PROBLEM_TYPES = {
  'invalid-request': {
    status: 400,
    title: 'Bad request',
    meaning: 'Something in the request is wrong; `errors` names each field. Nothing was changed. Mend the request.',
  },
  unauthorized: { status: 401, title: 'Unauthorized', meaning: 'The request has no credential, or one that is not valid.' },
  forbidden: { status: 403, title: 'Forbidden', meaning: 'The credential does not allow this.' },
  'not-found': { status: 404, title: 'Not found', meaning: 'There is none of that name.' },
  'no-such-route': { status: 404, title: 'Not found', meaning: 'There is nothing at this path. `/docs` lists every route.' },
  'method-not-allowed': { status: 405, title: 'Method not allowed', meaning: 'The path has other methods; `Allow` lists them.' },
  'request-timeout': { status: 408, title: 'Request timeout', meaning: 'The request did not arrive in time. Send it again.' },
  conflict: { status: 409, title: 'Conflict', meaning: 'What is there is in the way. Nothing was changed.' },
  'already-exists': {
    status: 409,
    title: 'Conflict',
    meaning: 'A subscription with this email exists. Nothing was changed. Use PUT or PATCH to change it.',
  },
  'illegal-transition': {
    status: 409,
    title: 'Illegal transition',
    meaning:
      'The lifecycle does not let this status follow the present one. Nothing was changed. `from` is the present status, `allowed` lists what may follow; `allowed_by_reactivation` what may when the request says `"reactivate": true`.',
  },
  'idempotency-key-in-use': {
    status: 409,
    title: 'Idempotency key in use',
    meaning: 'A request with this Idempotency-Key is being answered at this moment. Send it again after `Retry-After` seconds.',
  },
  gone: {
    status: 410,
    title: 'Gone',
    meaning: 'The change log no longer holds what follows the cursor. Start again without one.',
  },
  'precondition-failed': {
    status: 412,
    title: 'Precondition failed',
    meaning:
      'If-Match or If-None-Match does not hold. Nothing was changed. `current_version`, where the subscription exists, is what it is at. Read it, decide again, and send that version.',
  },
  'content-too-large': { status: 413, title: 'Content too large', meaning: 'The body is larger than 64 KB.' },
  'uri-too-long': { status: 414, title: 'URI too long', meaning: 'A part of the path is longer than an email can be.' },
  'unsupported-media-type': {
    status: 415,
    title: 'Unsupported media type',
    meaning: 'The body is not application/json; PATCH also takes application/merge-patch+json.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'Idempotency key reused',
    meaning: 'This Idempotency-Key was used for another request within 24 hours. Nothing was changed. Use a new key for a new request.',
  },
  'too-many-requests': { status: 429, title: 'Too many requests', meaning: 'Over the limit. Send it again after `Retry-After` seconds.' },
  'headers-too-large': { status: 431, title: 'Headers too large', meaning: 'The headers are larger than 16 KB.' },
  'internal-error': { status: 500, title: 'Error', meaning: 'An error of the service. Its log has the details under `request_id`.' },
  unavailable: {
    status: 503,
    title: 'Service unavailable',
    meaning:
      'The database does not answer. Nothing was changed, unless the answer to a committed write got lost: an Idempotency-Key makes it safe to send it again after `Retry-After` seconds.',
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
