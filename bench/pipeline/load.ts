import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { Pipeline } from './pipeline.js';
import { CLIENTS } from './sql-writer.js';
import { percentile } from './statistics.js';
import { waitUntilEqual } from './tables.js';

/** Shares of the highest rate at which latencies are measured. */
export const LEVELS = [0.25, 0.5, 0.75, 0.9] as const;
/** Number of changes a second whose latency is measured. */
const SAMPLES_PER_SECOND = 100;
/** Rows that samples change. A row is used again only after all others. */
const SAMPLED_ROWS = 512;
/** Interval (ms) between two queries for samples that have arrived. */
const INTERVAL_MS = 1;

interface Load {
  /** Changes a second, from the first write until the last change was in DB2. */
  readonly rate: number;
  /** Latencies (ms) of the samples, from DB1's response to the commit until DB2 shows the change. */
  readonly latencies: readonly number[];
}

/** Returns figures of single-row transactions from {@link CLIENTS} clients: the highest rate, then the latency at shares of it. */
export async function measureLoad(pipeline: Pipeline, rows: number, seconds: number): Promise<Record<string, number>> {
  const { rate: highest } = await load(pipeline, rows, seconds);
  const figures: Record<string, number> = { highest };
  for (const level of LEVELS) {
    const { latencies } = await load(pipeline, rows, seconds, highest * level);
    figures[`p50 at ${level}`] = percentile(latencies, 0.5);
    figures[`p99 at ${level}`] = percentile(latencies, 0.99);
  }
  return figures;
}

/** Plans that were written so far. Each change has another one, so that every change changes something. */
let written = 0;

/** Writes for some seconds, at a given rate or as fast as it can. Each client has rows of its own: two changes of a row never overlap. */
async function load(pipeline: Pipeline, rows: number, seconds: number, rate = Infinity): Promise<Load> {
  const sampler = new Sampler(pipeline.db2);
  const begun = performance.now();
  let number = 0;
  let lastRow = 1;
  let samples = 0;
  const client = async (lane: number): Promise<void> => {
    for (;;) {
      const due = begun + (number++ / rate) * 1_000;
      if (Math.max(due, performance.now()) >= begun + seconds * 1_000) return;
      if (due > performance.now()) await delay(due - performance.now());
      const sampled = samples < ((performance.now() - begun) / 1_000) * SAMPLES_PER_SECOND;
      const row = rowOf(lane, rows, sampled ? samples++ : undefined);
      const plan = ++written;
      await pipeline.writer.setPlan(row, String(plan));
      lastRow = row;
      if (sampled) sampler.add(row, plan);
    }
  };
  const clients = Promise.all(Array.from({ length: CLIENTS }, (_, lane) => client(lane)));
  const latencies = sampler.run(clients);
  await clients;
  const changes = number - CLIENTS;
  const ended = await waitUntilEqual(pipeline, lastRow);
  return { rate: changes / ((ended - begun) / 1_000), latencies: await latencies };
}

/** Returns one of the lane's rows: of those for samples by turns, of the others at random. */
function rowOf(lane: number, rows: number, sample: number | undefined): number {
  const inLane = (slots: number, slot: number): number => 1 + lane + CLIENTS * (slot % slots);
  if (sample !== undefined) return inLane(SAMPLED_ROWS / CLIENTS, Math.floor(sample / CLIENTS));
  const others = Math.floor((rows - SAMPLED_ROWS) / CLIENTS);
  return SAMPLED_ROWS + inLane(others, Math.floor(Math.random() * others));
}

/** Finds out when changes have arrived in DB2. */
class Sampler {
  private readonly waiting = new Map<string, { readonly plan: number; readonly committed: number }>();
  private readonly latencies: number[] = [];

  constructor(private readonly db2: Pool) {}

  /** Notes a change that DB1 has just committed. */
  add(row: number, plan: number): void {
    const email = `user${row}@example.com`;
    // The row's previous change counts as having arrived with this one.
    if (!this.waiting.has(email)) this.waiting.set(email, { plan, committed: performance.now() });
  }

  /** Polls until all changes that were noted until `writing` has ended have arrived. Returns their latencies (ms). */
  async run(writing: Promise<unknown>): Promise<readonly number[]> {
    let ended = false;
    const end = (): void => {
      ended = true;
    };
    writing.then(end, end);
    while (!ended || this.waiting.size > 0) {
      if (this.waiting.size > 0) await this.poll();
      await delay(INTERVAL_MS);
    }
    return this.latencies;
  }

  private async poll(): Promise<void> {
    const { rows } = await this.db2.query<{ email: string; plan: string | null }>({
      name: 'samples',
      text: 'SELECT email, plan FROM subscriptions WHERE email = ANY($1)',
      values: [[...this.waiting.keys()]],
    });
    const now = performance.now();
    for (const { email, plan } of rows) {
      const sample = this.waiting.get(email);
      if (sample === undefined || Number(plan) < sample.plan) continue;
      this.latencies.push(now - sample.committed);
      this.waiting.delete(email);
    }
  }
}
