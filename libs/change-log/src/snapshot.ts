/** PostgreSQL's pg_snapshot as text: `xmin:xmax:xip,xip…` — which transactions were over when it was taken. */
export interface Snapshot {
  readonly text: string;
  /** Transactions from here on had not started. */
  readonly xmax: string;
  /** Transactions below xmax that were still running. */
  readonly running: readonly string[];
}

/** Before any transaction: everything in the log is newer. */
export const BEGINNING = parseSnapshot('1:1:');

/** @throws Error when the text is no pg_snapshot. */
export function parseSnapshot(text: string): Snapshot {
  const match = /^(\d+):(\d+):((?:\d+(?:,\d+)*)?)$/.exec(text);
  if (!match) throw new Error(`"${text}" is no pg_snapshot`);
  return { text, xmax: match[2]!, running: match[3] ? match[3].split(',') : [] };
}
