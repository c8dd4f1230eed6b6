import type { Operation } from './subscription-event.js';

/** One row of the change log, of which an event is made. Names are the log's columns. */
export interface LoggedChange {
  /** In decimal. */
  readonly version: string | number;
  readonly operation: Operation;
  readonly email: string;
  /** JSON text of the row. */
  readonly image: string;
  /** JSON text of an object with the previous values of the changed columns. Null when there are none. */
  readonly previous: string | null;
  readonly actor: string;
  readonly reason: string | null;
  readonly origin: string;
  readonly traceparent: string | null;
  /** As PostgreSQL prints it in UTC: `2026-11-29 14:47:53.123456+00`. */
  readonly occurred_at: string;
}

/** The columns of the log that an event needs. */
export const LOGGED_COLUMNS = [
  'version',
  'operation',
  'email',
  'image',
  'previous',
  'actor',
  'reason',
  'origin',
  'traceparent',
  'occurred_at',
] as const satisfies readonly (keyof LoggedChange)[];

/**
 * Returns the text of a change's event, which is defined only here. It is made where the log is read, because building it in DB1's trigger
 * costs every writer a fifth of the trigger's time. The texts of image and previous values are inserted as they are, so numbers keep
 * their digits. The same change always has the same text.
 */
export function eventText(change: LoggedChange): string {
  const { version, operation, email, image, previous, actor, reason, origin, traceparent, occurred_at } = change;
  const trace = traceparent === null ? '' : `,"traceparent":${JSON.stringify(traceparent)}`;
  return (
    `{"specversion":"1.0","id":"${version}","source":"/subscription-sync/db1","type":"subscription.${operation}","subject":${JSON.stringify(email)}` +
    `,"time":"${rfc3339(occurred_at)}","datacontenttype":"application/json"${trace},"data":{"subscription":${image},"previous":${previous ?? '{}'}` +
    `,"actor":${JSON.stringify(actor)},"reason":${JSON.stringify(reason)},"origin":${JSON.stringify(origin)}}}`
  );
}

/** Converts PostgreSQL's text of a time in UTC. */
function rfc3339(time: string): string {
  return `${time.replace(' ', 'T')}:00`;
}
