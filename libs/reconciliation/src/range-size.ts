/** Rows of a piece: what is read row by row when its hashes differ. */
export const PIECE = 256;

const FIRST = 16;
const MOST = 512;
/** From one query to the next it grows or shrinks by this factor at most: one slow answer says little. */
const STEP = 2;

/** How many pieces one query is to go over, so that it takes about as long as wanted, however busy or slow the databases are. */
export class RangeSize {
  private wanted = FIRST;

  /** `targetMs`: how long a query may take. */
  constructor(private readonly targetMs: number) {}

  get pieces(): number {
    return Math.round(this.wanted);
  }

  /** What a query over so many pieces took. A range's end tells nothing: its query was shorter than asked. */
  took(pieces: number, ms: number): void {
    if (pieces < this.pieces) return;
    const fitting = (this.wanted * this.targetMs) / Math.max(ms, 1);
    this.wanted = Math.min(MOST, Math.max(1, Math.min(this.wanted * STEP, Math.max(this.wanted / STEP, fitting))));
  }
}
