import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { World } from '../harness/world.js';

const WRITERS = 20;
const EMAILS_PER_WRITER = 10;
/** Pause (ms) between two writes of a writer: about 100 writes a second in all, which leaves the processors to the processes that start. */
const PAUSE_MS = 200;
/** Interval (ms) of the writes of another program's SQL. */
const SQL_INTERVAL_MS = 50;
const SQL_EMAIL = 'sql@example.com';

/** Writes through the Service and by SQL while pods are replaced. A request is never repeated: a connection that ends under it is a refused request. */
export class Load {
  accepted = 0;
  refused: string[] = [];
  /** Longest time (ms) since {@link reset} for which a change by SQL was not in Database 2. */
  longestDelayMs = 0;
  private readonly acknowledged = new Map<string, string>();
  private readonly stopping = new AbortController();
  private running: Promise<unknown> = Promise.resolve();
  /** When the value that Database 2 will have next was committed, and all values after it. */
  private readonly unseen: { readonly value: number; readonly at: number }[] = [];

  constructor(
    private readonly url: string,
    private readonly world: World,
    /** API key of the writers. */
    private readonly key: string,
  ) {}

  async start(): Promise<void> {
    await this.world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'active')`, [SQL_EMAIL]);
    const writers = Array.from({ length: WRITERS }, (_, writer) => this.write(writer));
    this.running = Promise.all([...writers, this.writeBySql(), this.observe()]);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** Begins new figures. */
  reset(): void {
    this.accepted = 0;
    this.refused = [];
    this.longestDelayMs = 0;
  }

  /** Number of acknowledged writes of the API and of SQL that a database does not have. */
  async countLost(database: 'db1' | 'db2'): Promise<number> {
    const { rows } = await this.world[database].query<{ email: string; plan: string }>('SELECT email, plan FROM subscriptions');
    const plans = new Map(rows.map(({ email, plan }) => [email, plan]));
    return [...this.acknowledged].filter(([email, plan]) => plans.get(email) !== plan).length;
  }

  private async write(writer: number): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; !this.stopping.signal.aborted; i += 1) {
      const email = `w${writer}-${i % EMAILS_PER_WRITER}@example.com`;
      const plan = `p${i}`;
      try {
        const status = await this.put(`/subscriptions/${email}`, agent, { status: 'active', plan });
        if (status >= 300) throw new Error(`status ${status}`);
        this.accepted += 1;
        this.acknowledged.set(email, plan);
      } catch (error) {
        this.refused.push((error as Error).message);
      }
      await delay(PAUSE_MS);
    }
    agent.destroy();
  }

  private async writeBySql(): Promise<void> {
    for (let value = 1; !this.stopping.signal.aborted; value += 1) {
      await this.world.db1.query('UPDATE subscriptions SET plan = $1 WHERE email = $2', [`v${value}`, SQL_EMAIL]);
      this.unseen.push({ value, at: performance.now() });
      this.acknowledged.set(SQL_EMAIL, `v${value}`);
      await delay(SQL_INTERVAL_MS);
    }
  }

  /** Reads Database 2 as long as there are changes that it does not have. */
  private async observe(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const { rows } = await this.world.db2.query<{ plan: string | null }>('SELECT plan FROM subscriptions WHERE email = $1', [SQL_EMAIL]);
      const seen = Number(rows[0]?.plan?.slice(1) ?? 0);
      const now = performance.now();
      while (this.unseen[0] !== undefined && this.unseen[0].value <= seen) this.unseen.shift();
      if (this.unseen[0] !== undefined) this.longestDelayMs = Math.max(this.longestDelayMs, now - this.unseen[0].at);
      await delay(SQL_INTERVAL_MS);
    }
  }

  private put(path: string, agent: Agent, body: object): Promise<number> {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${this.key}` };
      const sent = request(`${this.url}${path}`, { agent, method: 'PUT', headers }, (response) => {
        response
          .on('error', reject)
          .on('end', () => {
            resolve(response.statusCode!);
          })
          .resume();
      });
      sent.on('error', reject);
      sent.end(JSON.stringify(body));
    });
  }
}
