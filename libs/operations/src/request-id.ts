import { randomUUID } from 'node:crypto';

export const REQUEST_ID_HEADER = 'x-request-id';

/** No `@`, so that it can hold no email: it goes to the log. */
const WELL_FORMED = /^[\w.:-]{1,128}$/;

/** The caller's `X-Request-Id` where it is well-formed, else a new one. */
export function requestIdOf(header: string | string[] | undefined): string {
  return typeof header === 'string' && WELL_FORMED.test(header) ? header : randomUUID();
}
