import { isStorable, wrongFields } from '#http';
import type { Sort } from './list-subscriptions.dto.js';

/** Where a page ended. It need not exist any more: what comes after it is still the same. */
export interface Position {
  readonly email: string;
  readonly version: number;
  /** As PostgreSQL prints it in UTC. */
  readonly updated_at: string;
}

const TIME = /^[\d]{4,6}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?\+00$/;

/** Opaque text: the sort, what it goes by, and the email, which tells rows apart that are equal in that. */
export function encodeCursor(sort: Sort, { email, version, updated_at }: Position): string {
  const key = sort.endsWith('version') ? version : sort.endsWith('updated_at') ? updated_at : null;
  return Buffer.from(JSON.stringify([sort, key, email])).toString('base64url');
}

/** @throws ProblemException 400 when it is no cursor of a list in this order. */
export function decodeCursor(sort: Sort, cursor: string): Position {
  const position = parse(cursor);
  if (!position || encodeCursor(sort, position) !== cursor) {
    throw wrongFields([{ field: 'cursor', detail: 'must be a next_cursor of this list, in the same order' }], 'Unknown cursor');
  }
  return position;
}

function parse(cursor: string): Position | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    return undefined;
  }
  if (!Array.isArray(parts)) return undefined;
  const [, key, email] = parts as unknown[];
  if (typeof email !== 'string' || !isStorable(email)) return undefined;
  if (key === null) return { email, version: 0, updated_at: '' };
  if (Number.isSafeInteger(key)) return { email, version: key as number, updated_at: '' };
  return typeof key === 'string' && TIME.test(key) ? { email, version: 0, updated_at: key } : undefined;
}
