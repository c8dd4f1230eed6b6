import { HttpException } from '@nestjs/common';

/**
 * Why a request is not let in. `challenge` is what WWW-Authenticate says (RFC 6750, section 3). The detail never quotes the credential.
 */
export class Refusal extends HttpException {
  constructor(
    status: 400 | 401 | 403 | 429 | 503,
    detail: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(detail, status);
  }
}

export function noCredential(): Refusal {
  const detail = 'The request has no credential: send "Authorization: Bearer" with an API key or a token';
  return new Refusal(401, detail, { 'www-authenticate': 'Bearer realm="subscription-sync"' });
}

export function badCredential(detail: string): Refusal {
  return new Refusal(401, detail, challenge('invalid_token', detail));
}

export function malformed(detail: string): Refusal {
  return new Refusal(400, detail, challenge('invalid_request', detail));
}

export function lacksScope(scope: string): Refusal {
  const detail = `The credential lacks the scope "${scope}"`;
  return new Refusal(403, detail, {
    'www-authenticate': `Bearer realm="subscription-sync", error="insufficient_scope", scope="${scope}"`,
  });
}

export function overLimit(of: string, policy: string, seconds: number): Refusal {
  return new Refusal(429, `Too many ${of}. Try again in ${seconds} s`, {
    'retry-after': String(seconds),
    'ratelimit-policy': policy,
    ratelimit: `${policy.split(';', 1)[0]!};r=0;t=${seconds}`,
  });
}

/** The credential may be good: nobody can say now. */
export function cannotTell(detail: string): Refusal {
  return new Refusal(503, detail, { 'retry-after': '1' });
}

function challenge(error: string, detail: string): Record<string, string> {
  return { 'www-authenticate': `Bearer realm="subscription-sync", error="${error}", error_description="${detail}"` };
}
