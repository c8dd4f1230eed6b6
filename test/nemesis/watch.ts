import { setTimeout as delay } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import { Client } from 'pg';
import type { AppliedSample, PublishedSample } from './evidence.js';
import type { Scene } from './scene.js';

const SAMPLE_INTERVAL_MS = 300;

/** Samples the positions of both roles repeatedly during the faults. A sample is skipped while its part is away. */
export class Watch {
  readonly published: PublishedSample[] = [];
  readonly applied: AppliedSample[] = [];
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>;

  constructor(private readonly scene: Scene) {
    this.running = Promise.all([
      this.repeat('db1', (client, admin) => this.samplePublished(client, admin)),
      this.repeat('db2', (client, admin) => this.sampleApplied(client, admin)),
    ]).then(() => undefined);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async repeat(part: 'db1' | 'db2', sample: (client: Client, admin: Admin) => Promise<void>): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const client = new Client({ ...this.scene.rig.parts.addresses[part], database: this.scene.world.name, application_name: 'watch' });
      client.on('error', () => undefined);
      const admin = this.scene.world.kafka.admin({ retry: { retries: 0 } });
      try {
        await Promise.all([client.connect(), admin.connect()]);
        while (!signal.aborted) {
          await sample(client, admin);
          await delay(SAMPLE_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
        }
      } catch {
        await delay(SAMPLE_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
      } finally {
        await Promise.allSettled([client.end(), admin.disconnect()]);
      }
    }
  }

  /** Reads the following position first and the leading one last, so that progress in between can not cause a false violation. */
  private async samplePublished(client: Client, admin: Admin): Promise<void> {
    const { name, topic } = this.scene.world;
    const slots = await client.query<{ slot: string | null }>(
      `SELECT (confirmed_flush_lsn - '0/0')::text AS slot FROM pg_replication_slots WHERE slot_name = $1`,
      [name],
    );
    const checkpoints = await client.query<{ lsn: string | null; snapshot: string }>(
      `SELECT (published_lsn - '0/0')::text AS lsn, published_snapshot::text AS snapshot FROM subscription_sync.checkpoint`,
    );
    const offsets = await admin.fetchTopicOffsets(topic);
    this.published.push({
      slot: toLsn(slots.rows[0]?.slot),
      checkpoint: toLsn(checkpoints.rows[0]?.lsn),
      snapshot: checkpoints.rows[0]?.snapshot,
      ends: new Map(offsets.map(({ partition, high }) => [partition, Number(high)])),
    });
  }

  private async sampleApplied(client: Client, admin: Admin): Promise<void> {
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
