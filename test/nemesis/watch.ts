import { setTimeout as delay } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import { Client } from 'pg';
import type { AppliedSample, PublishedSample } from './evidence.js';
import type { Scene } from './scene.js';

const EVERY_MS = 300;

/**
 * Looks at the positions of both roles again and again while the faults happen. What can't be seen now, because the part is away, is
 * not seen: that look is left out.
 */
export class Watch {
  readonly published: PublishedSample[] = [];
  readonly applied: AppliedSample[] = [];
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>;

  constructor(private readonly scene: Scene) {
    this.running = Promise.all([
      this.repeat('db1', (client, admin) => this.lookAtPublished(client, admin)),
      this.repeat('db2', (client, admin) => this.lookAtApplied(client, admin)),
    ]).then(() => undefined);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async repeat(part: 'db1' | 'db2', look: (client: Client, admin: Admin) => Promise<void>): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const client = new Client({ ...this.scene.rig.parts.addresses[part], database: this.scene.world.name, application_name: 'watch' });
      client.on('error', () => undefined);
      const admin = this.scene.world.kafka.admin({ retry: { retries: 0 } });
      try {
        await Promise.all([client.connect(), admin.connect()]);
        while (!signal.aborted) {
          await look(client, admin);
          await delay(EVERY_MS, undefined, { signal }).catch(() => undefined);
        }
      } catch {
        await delay(EVERY_MS, undefined, { signal }).catch(() => undefined);
      } finally {
        await Promise.allSettled([client.end(), admin.disconnect()]);
      }
    }
  }

  /** First what follows, then what leads: whatever moves in between is in its favour. */
  private async lookAtPublished(client: Client, admin: Admin): Promise<void> {
    const { name, topic } = this.scene.world;
    const slots = await client.query<{ slot: string | null }>(
      `SELECT (confirmed_flush_lsn - '0/0')::text AS slot FROM pg_replication_slots WHERE slot_name = $1`,
      [name],
    );
    const checkpoints = await client.query<{ lsn: string | null; snapshot: string }>(
      `SELECT (published_lsn - '0/0')::text AS lsn, published_snapshot::text AS snapshot FROM sync_checkpoint`,
    );
    const offsets = await admin.fetchTopicOffsets(topic);
    this.published.push({
      slot: toLsn(slots.rows[0]?.slot),
      checkpoint: toLsn(checkpoints.rows[0]?.lsn),
      snapshot: checkpoints.rows[0]?.snapshot,
      ends: new Map(offsets.map(({ partition, high }) => [partition, Number(high)])),
    });
  }

  private async lookAtApplied(client: Client, admin: Admin): Promise<void> {
    const { name, topic } = this.scene.world;
    const [group] = await admin.fetchOffsets({ groupId: name, topics: [topic] });
    const { rows } = await client.query<{ partition: number; offset: string }>('SELECT * FROM furthest');
    const furthest = new Map(rows.map(({ partition, offset }) => [partition, Number(offset)]));
    for (const { partition, offset } of group?.partitions ?? []) {
      this.applied.push({ partition, committed: Number(offset), furthest: furthest.get(partition) });
    }
  }
}

function toLsn(text: string | null | undefined): bigint | undefined {
  return text === null || text === undefined ? undefined : BigInt(text);
}
