/** PostgreSQL's pg_snapshot: the transactions that were over when it was taken. */
export interface Snapshot {
  /** First transaction that had not started. */
  readonly xmax: bigint;
  /** Transactions below xmax that were still running, in ascending order. */
  readonly running: readonly bigint[];
}

/** Snapshot before any transaction: all changes in the log are newer. */
export const BEGINNING: Snapshot = { xmax: 1n, running: [] };

/** Whether what the transaction committed is visible in the snapshot. */
export function isVisible({ xmax, running }: Snapshot, txid: bigint): boolean {
  return txid < xmax && !running.includes(txid);
}

/** Reads the text of a pg_snapshot, `xmin:xmax:xip,xip…`. @throws Error when it is malformed. */
export function parseSnapshot(text: string): Snapshot {
  const match = /^\d+:(\d+):((?:\d+(?:,\d+)*)?)$/.exec(text);
  if (!match) throw new Error(`"${text}" is not a pg_snapshot`);
  return { xmax: BigInt(match[1]!), running: match[2] ? match[2].split(',').map(BigInt) : [] };
}

/** Returns the text of a pg_snapshot. Its xmin, the oldest transaction that was running, follows from the others. */
export function formatSnapshot({ xmax, running }: Snapshot): string {
  return `${running[0] ?? xmax}:${xmax}:${running.join(',')}`;
}
