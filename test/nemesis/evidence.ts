import type { Exit } from './fleet.js';
import type { Operation } from './history.js';

/** A row of DB1's change log. */
export interface LoggedChange {
  readonly version: number;
  readonly operation: string;
  readonly email: string;
  /** Of the operation that made it: its reason or traceparent. */
  readonly id: string | null;
  readonly status: string;
  readonly plan: string | null;
  readonly txid: number;
}

/** A live row, with all that a database shows of it, as text. */
export interface LiveRow {
  readonly email: string;
  readonly version: number;
  readonly text: string;
}

/** A row of DB2's guarded table, tombstones included. `place` changes with every write of the row. */
export interface StoredRow {
  readonly email: string;
  readonly version: number;
  readonly place: string;
}

export interface Place {
  readonly partition: number;
  readonly offset: number;
}

/** A record of the topic, and the version that it tells of; undefined when it is none of the log's texts. */
export interface FoundRecord extends Place {
  readonly version: number | undefined;
}

/** Positions of the sync role, read in the order that can't be unfair to it: slot, checkpoint, topic. */
export interface PublishedSample {
  readonly slot: bigint | undefined;
  readonly checkpoint: bigint | undefined;
  readonly snapshot: string | undefined;
  readonly ends: ReadonlyMap<number, number>;
}

/** Positions of the replica role: what the group has committed, then how far DB2 ever was. */
export interface AppliedSample {
  readonly partition: number;
  readonly committed: number;
  readonly furthest: number | undefined;
}

/** All that a run leaves behind, and that is judged. */
export interface Evidence {
  readonly operations: readonly Operation[];
  readonly log: readonly LoggedChange[];
  readonly db1: readonly LiveRow[];
  readonly db2: readonly LiveRow[];
  readonly stored: readonly StoredRow[];
  /** After everything on the topic was put there once more. */
  readonly storedAfterReplay: readonly StoredRow[];
  readonly setbacks: readonly { readonly email: string; readonly before: number; readonly after: number | null }[];
  readonly topic: readonly FoundRecord[];
  readonly letters: readonly (Place & { readonly error_class: string })[];
  readonly unpublishable: readonly number[];
  /** What the service compared because it thought that something was lost behind its back. */
  readonly passes: readonly { readonly reason: string; readonly repaired: number }[];
  readonly published: readonly PublishedSample[];
  readonly applied: readonly AppliedSample[];
  /** Whether the slot may have been made anew during the run. */
  readonly slotWasLost: boolean;
  readonly exits: readonly Exit[];
  /** Bytes. */
  readonly peakHeap: number;
  /** What did not come back in time, if anything. */
  readonly notRecovered: readonly string[];
}
