import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Snapshot } from '#change-log';
import { FEED_START, covers, type Cursor, cursorAfter, cursorAt, decodeCursor, encodeCursor, isRead, type Place } from './cursor.js';

/** A model of a database with overlapping transactions, and of the statement READ in feed.ts. */
class Model {
  private next = 3n;
  private version = 0;
  private readonly open = new Map<bigint, Place[]>();
  readonly committed: Place[] = [];

  act(action: Action): void {
    const txid = [...this.open.keys()][action.pick % Math.max(this.open.size, 1)];
    if (action.kind === 'begin') this.open.set(this.next++, []);
    else if (txid === undefined) return;
    else if (action.kind === 'write') this.open.get(txid)!.push({ txid, version: ++this.version });
    else {
      if (action.kind === 'commit') this.committed.push(...this.open.get(txid)!);
      this.open.delete(txid);
    }
  }

  end(): void {
    while (this.open.size > 0) this.act({ kind: 'commit', pick: 0 });
  }

  get snapshot(): Snapshot {
    return { xmax: this.next, running: [...this.open.keys()] };
  }

  read(from: Cursor, limit: number): { rows: Place[]; snapshot: Snapshot; complete: boolean } {
    const rows = this.committed
      .filter((row) => !isRead(from, row))
      .sort((a, b) => rank(from, a) - rank(from, b) || (a.txid < b.txid ? -1 : a.txid > b.txid ? 1 : a.version - b.version));
    return { rows: rows.slice(0, limit), snapshot: this.snapshot, complete: rows.length < limit };
  }
}

const rank = (from: Cursor, { txid }: Place): number => (txid === from.place?.txid ? 0 : 1);

interface Action {
  readonly kind: 'begin' | 'write' | 'commit' | 'abort';
  readonly pick: number;
}
const action = fc.record({
  kind: fc.constantFrom<Action['kind']>('begin', 'write', 'write', 'write', 'commit', 'abort'),
  pick: fc.nat(20),
});
/** The actions, the number of rows that the reader then takes, and after how many of them it is killed and starts again. */
const story = fc.array(
  fc.record({ actions: fc.array(action, { maxLength: 12 }), limit: fc.integer({ min: 1, max: 5 }), killedAfter: fc.nat(8) }),
  {
    maxLength: 30,
  },
);

const copy = (cursor: Cursor): Cursor => decodeCursor(encodeCursor(cursor), 'after');

describe('a reader that takes pages of any size and is killed after any event', () => {
  test('reads every committed change exactly once and no other change', () => {
    fc.assert(
      fc.property(story, (steps) => {
        const model = new Model();
        const seen: number[] = [];
        let cursor = FEED_START;
        const take = (limit: number, max: number): boolean => {
          const { rows, snapshot, complete } = model.read(cursor, limit);
          const from = cursor;
          for (const row of rows.slice(0, max)) {
            seen.push(row.version);
            cursor = copy(cursorAfter(from, snapshot, row, 0));
          }
          if (complete && max >= rows.length) cursor = copy(cursorAt(snapshot, 0));
          return complete;
        };
        for (const { actions, limit, killedAfter } of steps) {
          for (const each of actions) model.act(each);
          take(limit, killedAfter);
        }
        model.end();
        while (!take(3, 3));
        expect(seen.sort((a, b) => a - b)).toEqual(model.committed.map(({ version }) => version).sort((a, b) => a - b));
      }),
      { numRuns: 1_000 },
    );
  });
});

test('a cursor that covers another has read everything that the other has, and later cursors cover earlier ones', () => {
  fc.assert(
    fc.property(story, (steps) => {
      const model = new Model();
      const cursors: Cursor[] = [];
      for (const { actions, limit } of steps) {
        for (const each of actions) model.act(each);
        const { rows, snapshot } = model.read(cursors.at(-1) ?? FEED_START, limit);
        const last = rows.at(-1);
        cursors.push(last ? cursorAfter(cursors.at(-1) ?? FEED_START, snapshot, last, 0) : cursorAt(snapshot, 0));
        expect(cursors.every((earlier) => covers(cursorAt(snapshot, 0), earlier))).toBe(true);
      }
      for (const a of cursors) {
        for (const b of cursors) {
          if (covers(a, b)) expect(model.committed.filter((row) => isRead(b, row) && !isRead(a, row))).toEqual([]);
        }
      }
    }),
  );
});

test.each(['', 'x', 'MS4', Buffer.from('2.a.0...').toString('base64url'), Buffer.from('1.a.0...-').toString('base64url')])(
  '%j is not a cursor',
  (text) => {
    expect(() => decodeCursor(text, 'after')).toThrow('Unknown cursor');
  },
);
