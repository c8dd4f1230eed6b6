import { expect, test } from '@jest/globals';
import { BEYOND_CHECKPOINT } from '#change-log';
import { eventually } from '../../../test/harness/eventually.js';
import { TcpProxy } from '../../../test/harness/tcp-proxy.js';
import { World } from '../../../test/harness/world.js';
import { DEFAULT_TIMINGS } from '#config';
import { LeaderLease } from './leader-lease.js';
import { WalCapture } from './wal-capture.js';

/** A capture whose stream goes through a proxy; its other connection does not. */
class ProxiedCapture {
  readonly stop = new AbortController();

  private constructor(
    readonly world: World,
    readonly proxy: TcpProxy,
    private readonly lease: LeaderLease,
    private readonly capture: WalCapture,
  ) {}

  static async in(world: World): Promise<ProxiedCapture> {
    const proxy = await TcpProxy.to(world.addresses.db1);
    const settings = { ...world.addresses.db1, database: world.name, poolSize: 1 };
    const timings = DEFAULT_TIMINGS.sync;
    const lease = new LeaderLease(settings, timings);
    const capture = new WalCapture(lease.client, { ...settings, port: proxy.port }, world.name, timings);
    const captured = new ProxiedCapture(world, proxy, lease, capture);
    await lease.acquire(captured.stop.signal, () => undefined);
    await captured.capture.prepare(() => undefined);
    return captured;
  }

  /** Reads, publishing at once, until `count` changes were received or the capture fails. */
  async read(count: number): Promise<string[]> {
    const emails: string[] = [];
    for await (const changes of this.capture.batches(this.stop.signal)) {
      emails.push(...changes.map(({ email }) => email));
      await this.capture.published(changes.length);
      if (emails.length >= count) break;
    }
    return emails;
  }

  /** The stream as the server sees it, and for how long it has been answering. */
  async reader(): Promise<{ pid?: number; seconds: number }> {
    const { rows } = await this.world.db1.query<{ pid: number; seconds: number }>(
      `SELECT pid, extract(epoch FROM reply_time - backend_start)::float8 AS seconds
       FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid WHERE slot_name = $1`,
      [this.world.name],
    );
    return rows[0] ?? { seconds: 0 };
  }

  async close(): Promise<void> {
    this.stop.abort();
    await this.capture.close();
    await this.lease.release();
    await this.proxy.close();
  }
}

const capturing = (work: (captured: ProxiedCapture) => Promise<void>) => (): Promise<void> =>
  World.lend(async (world) => {
    const captured = await ProxiedCapture.in(world);
    await work(captured).finally(() => captured.close());
  });

test.concurrent(
  'a stream that is cut off without a reset ends, although DB1 answers on the other connection',
  capturing(async (captured) => {
    const reading = captured.read(Infinity);
    await eventually(async () => (await captured.reader()).pid);
    await captured.proxy.set({ kind: 'black-hole', forgets: true });
    const started = performance.now();
    await expect(reading).rejects.toThrow(/^The replication stream was cut off: nothing was received for/);
    expect(performance.now() - started).toBeLessThan(20_000);
  }),
);

test.concurrent(
  'an idle stream is kept for longer than the time after which silence is checked',
  capturing(async (captured) => {
    const reading = captured.read(1);
    const { pid } = await eventually(async () => (await captured.reader()).pid !== undefined && (await captured.reader()));
    await eventually(async () => (await captured.reader()).seconds > 12, 30_000);
    expect((await captured.reader()).pid).toBe(pid);
    await captured.world.db1.query(`INSERT INTO subscriptions (email) VALUES ('late@example.com')`);
    expect(await reading).toEqual(['late@example.com']);
  }),
);

test.concurrent(
  'a change without a later one is soon covered by the stored checkpoint: a reconciliation run waits for that',
  capturing(async (captured) => {
    const reading = captured.read(Infinity);
    await eventually(async () => (await captured.reader()).pid);
    const { db1 } = captured.world;
    await db1.query(`INSERT INTO subscriptions (email) VALUES ('alone@example.com')`);
    await eventually(async () => (await db1.query(`SELECT ${BEYOND_CHECKPOINT}`)).rowCount === 0, 6_000);
    captured.stop.abort();
    expect(await reading).toEqual(['alone@example.com']);
  }),
);
