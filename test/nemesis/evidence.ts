import type { Exit } from './fleet.js';
import type { Operation } from './history.js';

/** A row of DB1's change log. */
export interface LoggedChange {
  readonly version: number;
  readonly operation: string;
  readonly email: string;
  /** Id of the operation that made the change: its reason or traceparent. */
  readonly id: string | null;
  readonly status: string;
  readonly plan: string | null;
  readonly txid: number;
}

/** A live row, with all its columns as text. */
export interface LiveRow {
  readonly email: string;
  readonly version: number;
  readonly text: string;
}

/** What DB2 has applied of an email, its deletion included. `place` changes with every write of it or of its row. */
export interface StoredRow {
  readonly email: string;
  readonly version: number;
  readonly place: string;
}

export interface Place {
  readonly partition: number;
  readonly offset: number;
}

/** A record of the topic, with the version of its change; undefined when the record is not an event of the log. */
export interface FoundRecord extends Place {
  readonly version: number | undefined;
}

/** Positions of the sync role, read in an order that can not cause a false violation: slot, checkpoint, topic. */
export interface PublishedSample {
  readonly slot: bigint | undefined;
  readonly checkpoint: bigint | undefined;
  readonly snapshot: string | undefined;
  readonly ends: ReadonlyMap<number, number>;
}

/** Positions of the replica role: the committed offset of the group, then the furthest position that DB2 ever had. */
export interface AppliedSample {
  readonly partition: number;
  readonly committed: number;
  readonly furthest: number | undefined;
}

/** Everything that a run leaves behind and that the checks inspect. */
export interface Evidence {
  readonly operations: readonly Operation[];
  readonly log: readonly LoggedChange[];
  readonly db1: readonly LiveRow[];
  readonly db2: readonly LiveRow[];
  readonly stored: readonly StoredRow[];
  /** The stored rows after all records of the topic were published again. */
  readonly storedAfterReplay: readonly StoredRow[];
  readonly setbacks: readonly { readonly email: string; readonly before: number; readonly after: number | null }[];
  readonly topic: readonly FoundRecord[];
  readonly letters: readonly (Place & { readonly error_class: string })[];
  readonly unpublishable: readonly number[];
  /** Runs that the service started because it detected a gap. */
  readonly passes: readonly { readonly reason: string; readonly repaired: number }[];
  readonly published: readonly PublishedSample[];
  readonly applied: readonly AppliedSample[];
  /** Whether the slot may have been created again during the run. */
  readonly slotWasLost: boolean;
  readonly exits: readonly Exit[];
  /** Highest heap usage of a process, in bytes. */
  readonly peakHeap: number;
  /** Conditions that did not hold again in time. */
  readonly notRecovered: readonly string[];
}
