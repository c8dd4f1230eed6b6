import { hash, randomBytes } from 'node:crypto';

/** Size of a sketch: 1 MB. */
const ROWS = 4;
const CELLS = 65_536;

/**
 * Counts any number of ids in a fixed amount of memory (a count-min sketch). Each id has a cell in each row, and its count is the smallest
 * of them: never too low, and too high only if other ids share all of its cells. Cells are chosen by a secret, so that ids cannot be made
 * up to share those of a given id.
 */
export class CountSketch {
  private readonly cells = new Uint32Array(ROWS * CELLS);
  private readonly secret = randomBytes(16).toString('hex');

  count(id: string): number {
    return this.smallest(this.placesOf(id));
  }

  /** Counts one more if there are fewer than `limit`. Returns the count before. */
  addBelow(id: string, limit: number): number {
    const places = this.placesOf(id);
    const count = this.smallest(places);
    // Larger cells already count at least as much for this id.
    if (count < limit) for (const place of places) this.cells[place] = Math.max(this.cells[place]!, count + 1);
    return count;
  }

  clear(): void {
    this.cells.fill(0);
  }

  private smallest(places: readonly number[]): number {
    return Math.min(...places.map((place) => this.cells[place]!));
  }

  private placesOf(id: string): number[] {
    const digest = hash('sha256', this.secret + id, 'buffer');
    return Array.from({ length: ROWS }, (_, row) => row * CELLS + digest.readUInt16BE(2 * row));
  }
}
