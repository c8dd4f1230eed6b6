/** SQL expressions of what an event tells. */
export interface EventParts {
  readonly operation: string;
  /** The row: a `subscriptions`. */
  readonly image: string;
  /** When the change was made: a timestamptz. */
  readonly occurred: string;
  readonly traceparent: string;
  /** The inside of the object of former values. */
  readonly previous: string;
  readonly actor: string;
  readonly reason: string;
  readonly origin: string;
}

/**
 * The expression of an event's text (see #contracts), which is written here alone. The session's time zone is to be UTC. concat() is
 * one pass over the text: 10 % faster than || for a whole update.
 */
export function eventText({ operation, image, occurred, traceparent, previous, actor, reason, origin }: EventParts): string {
  return `concat(
      '{"specversion":"1.0","id":"', ${image}.version,
      '","source":"/subscription-sync/db1","type":"subscription.', ${operation},
      '","subject":', to_json(${image}.email),
      ',"time":', to_json(${occurred}),
      ',"datacontenttype":"application/json"',
      ',"traceparent":' || to_json(${traceparent})::text,
      ',"data":{"subscription":', row_to_json(${image}),
      ',"previous":{', ${previous},
      '},"actor":', to_json(${actor}),
      ',"reason":', coalesce(to_json(${reason}), 'null'),
      ',"origin":', to_json(${origin}), '}}')`;
}
