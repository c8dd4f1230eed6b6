import type { DataSource } from 'typeorm';
import { type DatabaseSettings, DEFAULT_TIMINGS, type Timings } from '#config';
import {
  connectToRemove,
  inspectInstallation,
  type Installation,
  removeInstallation,
  ServiceRunningError,
  waitUntilStopped,
} from '#postgres';
import { dropSlotAndPublication, takeLease } from './decommission.js';
import type { LeaderLease } from './leader-lease.js';

type DatabaseName = 'db1' | 'db2';

/** The databases to purge. One without settings is reported as not purged. */
export interface PurgeTargets {
  readonly db1: DatabaseSettings | undefined;
  readonly db2: DatabaseSettings | undefined;
  /** Name of the replication slot of DB1. */
  readonly slot: string;
}

/** What became of one database. */
export interface PurgedDatabase {
  readonly name: DatabaseName;
  /** What was dropped, in words, also if there was a failure later. */
  readonly dropped: readonly string[];
  /** Why not everything was dropped. */
  readonly failure?: string;
}

/** What a purge reports before it ends. */
export interface PurgeEvents {
  /** Is called before anything is dropped, for each database that has the service's schema. */
  readonly onFound: (name: DatabaseName, installation: Installation) => void;
}

/**
 * Removes the service from both databases: the replication slot, the publication, the triggers and the schema with everything in it. Users'
 * tables and their rows stay. A database that fails does not keep the other one from being purged, and a later call finishes.
 * @throws ServiceRunningError when the service still runs on one of the databases. Nothing was dropped then.
 */
export async function purge(
  { db1, db2, slot }: PurgeTargets,
  { onFound }: PurgeEvents,
  timings: Timings = DEFAULT_TIMINGS,
): Promise<readonly PurgedDatabase[]> {
  const removals = [new Removal('db1', db1, timings, slot), new Removal('db2', db2, timings)];
  try {
    const refused = (await Promise.all(removals.map((removal) => removal.prepare()))).find((refusal) => refusal !== undefined);
    if (refused) throw refused;
    for (const { name, found } of removals) if (found?.hasSchema) onFound(name, found);
    return await Promise.all(removals.map((removal) => removal.execute()));
  } finally {
    await Promise.all(removals.map((removal) => removal.close()));
  }
}

/** The removal from one database, in two steps, so that nothing is dropped while the service runs on the other one. */
class Removal {
  /** What is there, once it is known. */
  found: Installation | undefined;
  private dataSource: DataSource | undefined;
  private lease: LeaderLease | undefined;
  private failure: string | undefined;

  /** `slot` is given for DB1 alone, which has a capture. */
  constructor(
    readonly name: DatabaseName,
    private readonly settings: DatabaseSettings | undefined,
    private readonly timings: Timings,
    private readonly slot?: string,
  ) {}

  /** Connects, and makes sure that the service has stopped. @returns why it has not; another error is kept for the report. */
  async prepare(): Promise<ServiceRunningError | undefined> {
    if (!this.settings) {
      this.failure = `${this.name.toUpperCase()}_HOST is not set`;
      return undefined;
    }
    const { decommissionTimeoutMs, standbyPollMs } = this.timings.sync;
    try {
      this.dataSource = await connectToRemove(this.settings, this.timings.postgres);
      if (this.slot !== undefined) this.lease = await takeLease(this.settings, this.timings.sync);
      this.found = await inspectInstallation(this.dataSource.manager);
      if (this.found.hasSchema) await waitUntilStopped(this.dataSource, decommissionTimeoutMs, standbyPollMs);
    } catch (error) {
      const { message } = error as Error;
      if (error instanceof ServiceRunningError) return new ServiceRunningError(`${this.name}: ${message}`);
      this.failure = message;
    }
    return undefined;
  }

  /** Drops the slot first, which would fill the disk if it were left behind, and the schema last, by which a later call finds the rest. */
  async execute(): Promise<PurgedDatabase> {
    const dropped: string[] = [];
    try {
      if (this.failure === undefined) {
        if (this.lease) dropped.push(...(await dropSlotAndPublication(this.lease.client, this.slot!)));
        dropped.push(...(await removeInstallation(this.dataSource!, this.timings.sync.decommissionTimeoutMs)));
      }
    } catch (error) {
      this.failure = (error as Error).message;
    }
    return { name: this.name, dropped, ...(this.failure !== undefined && { failure: this.failure }) };
  }

  async close(): Promise<void> {
    await this.lease?.release().catch(() => undefined);
    await this.dataSource?.destroy();
  }
}
