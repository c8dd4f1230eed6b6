import { type Change, toChange } from '#change-log';
import { LOGGED_COLUMNS, type LoggedChange } from '#events';

/** A message of the logical replication stream, as far as the capture needs it. LSNs are bytes from the start of the WAL. */
export type WalMessage =
  /** `xid` lacks the epoch of PostgreSQL's 64-bit transaction ID. */
  | { readonly kind: 'begin'; readonly xid: number }
  | { readonly kind: 'change'; readonly change: Change }
  /** `end` is the first byte after the commit record. Acknowledging exactly it does not skip a transaction that commits right after. */
  | { readonly kind: 'commit'; readonly end: bigint }
  | { readonly kind: 'keepAlive'; readonly end: bigint; readonly replyNow: boolean };

/**
 * Decodes the pgoutput protocol, version 1, of an insert-only publication of the change log. What is kept of a buffer is copied, because
 * pg's parser reuses its buffers.
 *
 * Messages: https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
export class PgOutputDecoder {
  /** Names of the log's columns in the order of a row, by the relation's id. A column that an event does not need has none. */
  private readonly relations = new Map<number, readonly (keyof LoggedChange | undefined)[]>();

  /**
   * @returns the message, or undefined for one that the capture does not need.
   * @throws Error when the stream does not conform to the publication.
   */
  decode(data: Buffer): WalMessage | undefined {
    const type = data[0];
    if (type === 0x6b /* k */) return { kind: 'keepAlive', end: data.readBigUInt64BE(1), replyNow: data[17] === 1 };
    if (type !== 0x77 /* w */) throw new Error(`Unknown replication message ${String(type)}`);
    // XLogData: start, end and send time, 8 bytes each, then the pgoutput message.
    switch (data[25]) {
      case 0x42 /* B */:
        return { kind: 'begin', xid: data.readUInt32BE(42) };
      case 0x43 /* C */:
        return { kind: 'commit', end: data.readBigUInt64BE(35) };
      case 0x49 /* I */:
        return { kind: 'change', change: this.decodeInsert(data) };
      case 0x52 /* R */:
        this.decodeRelation(data);
        return undefined;
      case undefined:
      default:
        return undefined;
    }
  }

  private decodeRelation(data: Buffer): void {
    const id = data.readUInt32BE(26);
    let at = skipText(data, skipText(data, 30)) + 1;
    const count = data.readUInt16BE(at);
    at += 2;
    const names: string[] = [];
    for (let i = 0; i < count; i += 1) {
      const end = skipText(data, at + 1);
      names.push(data.toString('utf8', at + 1, end - 1));
      at = end + 8;
    }
    const missing = LOGGED_COLUMNS.filter((column) => !names.includes(column));
    if (missing.length > 0) throw new Error(`The published table lacks the columns ${missing.join(', ')}`);
    this.relations.set(
      id,
      names.map((name) => LOGGED_COLUMNS.find((column) => column === name)),
    );
  }

  private decodeInsert(data: Buffer): Change {
    const columns = this.relations.get(data.readUInt32BE(26));
    if (!columns) throw new Error('A row belongs to a relation that was not described');
    const logged: Partial<Record<keyof LoggedChange, string | null>> = {};
    let at = 33;
    for (const column of columns) {
      const isText = data[at] === 0x74; /* t; n is null */
      const start = isText ? at + 5 : at + 1;
      const end = isText ? start + data.readUInt32BE(at + 1) : start;
      if (column) logged[column] = isText ? data.toString('utf8', start, end) : null;
      at = end;
    }
    return toChange(logged as LoggedChange);
  }
}

/** Returns the index after the zero byte that ends the text at `from`. */
function skipText(data: Buffer, from: number): number {
  return data.indexOf(0, from) + 1;
}

/**
 * Returns a standby status update: written, flushed and applied up to `lsn`, where 0 confirms nothing. It requests a keep-alive, so that
 * silence of the server has a meaning.
 */
export function statusUpdate(lsn: bigint): Buffer {
  const message = Buffer.alloc(34);
  message[0] = 0x72; /* r */
  message.writeBigUInt64BE(lsn, 1);
  message.writeBigUInt64BE(lsn, 9);
  message.writeBigUInt64BE(lsn, 17);
  // Microseconds since 2000-01-01, which the server only displays.
  message.writeBigInt64BE((BigInt(Date.now()) - 946_684_800_000n) * 1_000n, 25);
  message[33] = 1;
  return message;
}
