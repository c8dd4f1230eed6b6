import { percentile } from './statistics.js';

export interface Column {
  readonly heading: string;
  /** Name of the figure. */
  readonly figure: string;
  /** Number of digits after the point. */
  readonly digits: number;
}

/** A table of the report. Its rows are contenders. */
export interface Table {
  readonly name: string;
  readonly title: string;
  /** A sentence that says what was measured. */
  readonly description: string;
  readonly columns: readonly Column[];
  /** Figure that is drawn, with its unit: one for bars, several for lines with the text of each on the x axis. */
  readonly chart?: { readonly unit: string; readonly figures: readonly (readonly [figure: string, label: string])[] };
}

/** Median of the rounds, with the least and the greatest value. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Figures of one row in one round. */
export type Figures = Readonly<Record<string, number>>;

/** Figures of all rounds by table and row, in the order in which they came first. */
export class Results {
  private readonly tables = new Map<string, Map<string, Figures[]>>();
  /** Reasons why rows lack figures, by row. */
  readonly notMeasured = new Map<string, string>();

  add(table: string, row: string, figures: Figures): void {
    const rows = this.tables.get(table) ?? new Map<string, Figures[]>();
    this.tables.set(table, rows.set(row, [...(rows.get(row) ?? []), figures]));
  }

  /** Adds all figures of `others`. */
  addAll(others: Results): void {
    for (const [table, rows] of others.tables)
      for (const [row, rounds] of rows) for (const figures of rounds) this.add(table, row, figures);
  }

  rowsOf(table: string): readonly string[] {
    return [...(this.tables.get(table)?.keys() ?? [])];
  }

  /** Returns undefined when no round has the figure. */
  spread(table: string, row: string, figure: string): Spread | undefined {
    const values = (this.tables.get(table)?.get(row) ?? []).flatMap((figures) => figures[figure] ?? []);
    if (values.length === 0) return undefined;
    return { median: percentile(values, 0.5), min: Math.min(...values), max: Math.max(...values) };
  }
}
