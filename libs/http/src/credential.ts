import type { ServerResponse } from 'node:http';
import { ProblemException } from './problem.js';
import { callerOf } from './route-scope.js';

/** The credential of a request was revoked or expired before its response was complete, or cannot be checked any more (`unavailable`). */
export class CredentialEndedError extends ProblemException {
  constructor(kind: 'unauthorized' | 'unavailable', detail: string) {
    const challenge = `Bearer realm="subscription-sync", error="invalid_token", error_description="${detail}"`;
    super(kind, detail, {}, kind === 'unauthorized' ? { 'www-authenticate': challenge } : {});
  }
}

/**
 * Returns a signal that aborts with a {@link CredentialEndedError} within 5 s after the credential of a request has ended, for a request
 * that takes long. The credential is watched until the response is closed; while access is open there is none.
 */
export function credentialSignal(request: object, response: ServerResponse): AbortSignal {
  const end = new AbortController();
  if (response.destroyed) return end.signal;
  const stop = callerOf(request).watch?.((reason) => end.abort(reason));
  if (stop) response.once('close', stop);
  return end.signal;
}
