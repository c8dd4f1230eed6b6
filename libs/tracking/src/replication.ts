import { Inject, Injectable, NotFoundException, Optional } from '@nestjs/common';
import { type Database, DatabaseUnavailableError, DB1, DB2 } from '#postgres';
import { DEAD_LETTERS, LOOK_IN_DB1, LOOK_IN_DB2, POSITION } from './look.sql.js';
import { normalised } from './replica-reads.js';
import { replicationState, type ReplicationState, type Side } from './replication-state.js';
import { TopicEnds } from './topic-ends.js';
import type { AppliedView, DeadLetterView, ReplicationView } from './tracking.dto.js';

interface LookInDb1 {
  readonly email: string;
  readonly version: number | null;
  readonly live: boolean;
  readonly operation: string | null;
  readonly changed_at: string | null;
  readonly lag_ms: number | null;
  readonly captured: boolean | null;
  readonly captured_by: string | null;
  readonly unpublishable: string | null;
  readonly confirmed: boolean;
  readonly content: string | null;
}

/** What DB2 knows of an email, and of the record that was to bring it up to date. */
interface LookInDb2 {
  readonly side: Side | undefined;
  readonly letter: DeadLetterView | undefined;
  readonly passed: boolean;
}

const DETAILS: Readonly<Record<ReplicationState, string>> = {
  in_sync: 'Database 2 is as Database 1 is',
  in_flight: 'The change is on its way to Database 2',
  dead_lettered: 'The record of the change was put aside. A newer change of this subscription heals it',
  drifted: 'Database 2 differs, and nothing is on its way. The next comparison of both databases repairs it',
  unknown: 'This process does not know Database 2 (DB2_HOST is not set), or it does not answer',
};

/** Where the last change of a subscription is. */
@Injectable()
export class Replication {
  constructor(
    @Inject(DB1) private readonly db1: Database,
    private readonly topic: TopicEnds,
    @Optional() @Inject(DB2) private readonly db2?: Database,
  ) {}

  /** Fails with 404 when neither database has the subscription, nor the log a change of it. */
  async of(email: string): Promise<ReplicationView> {
    // DB2 before DB1, see replicationState.
    const first = await this.ifAnswers((db2) => this.sideInDb2(db2, normalised(email)));
    const [row] = (await this.db1.query<LookInDb1>(LOOK_IN_DB1, [email, first?.side?.version ?? 0])) as [LookInDb1];
    const db1 = row.version === null ? undefined : { version: row.version, live: row.live, content: row.content };
    if (!db1 && !first?.side?.live) throw new NotFoundException('No subscription with this email, now or in the change log');

    const behind = first !== undefined && (db1?.version ?? 0) > (first.side?.version ?? 0);
    const look = behind ? await this.ifAnswers((db2) => this.whyBehind(db2, first, row)) : first;
    const deadLettered = look?.letter !== undefined || row.unpublishable !== null;
    const state = look ? replicationState({ db1, db2: look.side, deadLettered, passed: look.passed || row.confirmed }) : 'unknown';

    const partition = look?.letter?.partition ?? (await this.topic.partitionOf(row.email)) ?? null;
    const arrived = db1 !== undefined && (look?.side?.version ?? 0) >= db1.version;
    return {
      email: row.email,
      state,
      detail: row.unpublishable ?? DETAILS[state],
      database1: db1 ? { version: db1.version, deleted: !db1.live, operation: row.operation, changed_at: row.changed_at } : null,
      database2: look?.side ? { version: look.side.version, deleted: !look.side.live } : null,
      published:
        row.captured === true || arrived || look?.letter
          ? {
              topic: look?.letter?.topic ?? this.topic.topic ?? null,
              partition,
              offset: look?.letter?.offset ?? null,
              at_latest: row.captured_by,
            }
          : null,
      applied: (await this.ifAnswers((db2) => this.position(db2, partition))) ?? null,
      lag_ms: state === 'in_sync' ? 0 : state === 'unknown' || row.lag_ms === null ? null : Math.max(0, Math.round(row.lag_ms)),
      dead_letter: look?.letter ?? null,
    };
  }

  private async sideInDb2(db2: Database, email: string): Promise<LookInDb2> {
    const [side] = await db2.query<Side>(LOOK_IN_DB2, [email]);
    return { side, letter: undefined, passed: false };
  }

  /** Everything that was on Kafka when it was: when that is applied, and DB2 is still without it, it does not come any more. */
  private async whyBehind(db2: Database, before: LookInDb2, { email, version, captured }: LookInDb1): Promise<LookInDb2> {
    const letters = await db2.query<DeadLetterView & { value: Buffer | null }>(DEAD_LETTERS, [email]);
    const found = letters.find(({ value }) => versionIn(value) === version);
    if (found) {
      const { value: _, ...letter } = found;
      return { ...before, letter };
    }
    const ends = captured === true ? await this.topic.fetch() : undefined;
    const partition = ends && (await this.topic.partitionOf(email));
    const place = partition === undefined ? undefined : ends?.get(partition);
    if (!place) return before;
    const position = await this.position(db2, partition ?? null);
    if (Math.max((position?.offset ?? -1) + 1, place.first) < place.end) return before;
    const now = await this.sideInDb2(db2, email);
    // A newer one: DB1 is looked at no more.
    return (now.side?.version ?? 0) > version! ? before : { ...now, passed: true };
  }

  private async position(db2: Database, partition: number | null): Promise<AppliedView | undefined> {
    if (partition === null || this.topic.topic === undefined) return undefined;
    const [position] = await db2.query<AppliedView>(POSITION, [this.topic.topic, partition]);
    return position;
  }

  /** Undefined when DB2 is not known, or does not answer. */
  private async ifAnswers<T>(ask: (db2: Database) => Promise<T>): Promise<T | undefined> {
    try {
      return this.db2 && (await ask(this.db2));
    } catch (error) {
      if (error instanceof DatabaseUnavailableError) return undefined;
      throw error;
    }
  }
}

/** The version that a record names. Undefined when it is no event. */
function versionIn(value: Buffer | null): number | undefined {
  try {
    return Number((JSON.parse(String(value)) as { id?: unknown }).id);
  } catch {
    return undefined;
  }
}
