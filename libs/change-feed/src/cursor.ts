import { isVisible, type Snapshot } from '#change-log';
import { wrongFields } from '#http';

/**
 * Position of a reader in the log (ADR 17): it has read all transactions below `xmax` that are not in `running`, and those changes of
 * `place.txid` with a version up to `place.version`. A transaction that commits late is in `running`, or is not below `xmax`.
 */
export interface Cursor extends Snapshot {
  readonly place?: { readonly txid: bigint; readonly version: number } | undefined;
  /** Number of times that the log had been pruned. */
  readonly prunings: number;
}

/** A row's place in the log's order. */
export interface Place {
  readonly txid: bigint;
  readonly version: number;
}

/** The cursor of a reader that has read nothing, and that does not miss what was pruned. */
export const FEED_START: Cursor = { xmax: 0n, running: [], prunings: Number.MAX_SAFE_INTEGER };

/** Returns the cursor of a reader that has read everything that `snapshot` shows. */
export function cursorAt({ xmax, running }: Snapshot, prunings: number): Cursor {
  return { xmax, running, prunings };
}

/**
 * Returns the cursor of a reader that has read from `cursor` up to and including the place (`txid`, `version`), as `snapshot` shows the log.
 * The order is: first the rest of `place.txid`, so that there are never two partly read transactions; then by (txid, version).
 */
export function cursorAfter(cursor: Cursor, snapshot: Snapshot, { txid, version }: Place, prunings: number): Cursor {
  const place = { txid, version };
  if (cursor.place?.txid === txid) return { ...cursor, place, prunings };
  const { xmax, running } = withPlaceRead(cursor);
  if (txid >= xmax) return { xmax: txid, running: snapshot.running.filter((id) => id < txid), place, prunings };
  const stillRunning = new Set(snapshot.running);
  return { xmax, running: running.filter((id) => id >= txid || stillRunning.has(id)), place, prunings };
}

/** Returns what is read when the rest of `place.txid` is read, too. */
export function withPlaceRead({ xmax, running, place }: Cursor): Snapshot {
  if (!place) return { xmax, running };
  return { xmax: place.txid < xmax ? xmax : place.txid + 1n, running: running.filter((id) => id !== place.txid) };
}

/** Returns whether the row is read. */
export function isRead(cursor: Cursor, { txid, version }: Place): boolean {
  return isVisible(cursor, txid) || (cursor.place?.txid === txid && version <= cursor.place.version);
}

/** Returns whether everything that `other` has read is read. May return false where it cannot be known. */
export function covers(cursor: Cursor, other: Cursor): boolean {
  return (
    cursor.xmax >= other.xmax &&
    cursor.running.every((id) => id >= other.xmax || other.running.includes(id)) &&
    (other.place === undefined || isRead(cursor, other.place))
  );
}

const VERSION = '1';

/** Encodes a cursor, which is opaque to clients. Running transactions are written as their distance from xmax: a few characters each. */
export function encodeCursor({ xmax, running, place, prunings }: Cursor): string {
  const open = running.map((id) => (xmax - id).toString(36)).join('_');
  const parts = [
    VERSION,
    xmax.toString(36),
    prunings.toString(36),
    place?.txid.toString(36) ?? '',
    place?.version.toString(36) ?? '',
    open,
  ];
  return Buffer.from(parts.join('.')).toString('base64url');
}

const TEXT = /^1\.([\da-z]{1,13})\.([\da-z]{1,11})\.([\da-z]{0,13})\.([\da-z]{0,11})\.((?:[\da-z]{1,13}(?:_[\da-z]{1,13})*)?)$/;

/** Decodes a cursor. `field` names where it was given. @throws ProblemException 400 for a text that is not a cursor. */
export function decodeCursor(cursor: string, field: string): Cursor {
  const match = TEXT.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
  if (!match) {
    throw wrongFields([{ field, detail: 'must be a next_cursor, or the id of an event, of this feed' }], 'Unknown cursor');
  }
  const [, xmaxText, prunings, txid, version, open] = match as unknown as [string, string, string, string, string, string];
  const xmax = parse36(xmaxText);
  return {
    xmax,
    running: open === '' ? [] : open.split('_').map((distance) => xmax - parse36(distance)),
    place: txid === '' ? undefined : { txid: parse36(txid), version: parseInt(version, 36) },
    prunings: parseInt(prunings, 36),
  };
}

function parse36(text: string): bigint {
  return Array.from(text).reduce((value, digit) => value * 36n + BigInt(parseInt(digit, 36)), 0n);
}
