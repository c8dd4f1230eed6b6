import { encodeCursor, type Cursor } from './cursor.js';
import type { LoggedEvent } from './feed.js';

/** First of all: a client that loses the connection comes back after a second. */
export const OPENING = 'retry: 1000\n\n';

/** Server-Sent Events: the id of each is the cursor behind it, so that Last-Event-ID goes on with the next one. */
export function frames(events: readonly Pick<LoggedEvent, 'text' | 'cursor'>[]): Buffer {
  return Buffer.from(events.map(({ text, cursor }) => `id: ${encodeCursor(cursor)}\ndata: ${inOneField(text)}\n\n`).join(''));
}

/** A sign of life. Its id is kept by the client and is no event: a client that comes back after a quiet month is not told that it missed something. */
export function heartbeat(cursor: Cursor): string {
  return `: alive\nid: ${encodeCursor(cursor)}\n\n`;
}

/** A column of type json may hold line breaks, which end a field. */
function inOneField(text: string): string {
  return /[\r\n]/.test(text) ? text.replaceAll(/\r\n|\r|\n/g, '\ndata: ') : text;
}
