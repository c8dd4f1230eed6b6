import { setTimeout as delay } from 'node:timers/promises';
import type { ClientConfig } from 'pg';
import { Random } from '../harness/random-operations.js';
import { ApiWriter } from './api-writer.js';
import type { History } from './history.js';
import { SqlWriter } from './sql-writer.js';

const API_WRITERS = 2;
const SQL_WRITERS = 3;
/** Maximum pause (ms) between two writes of a writer. Everything shares two cores. */
const PAUSE_MS = 16;

export interface WorkloadOptions {
  readonly seed: number;
  readonly history: History;
  readonly apiUrl: () => string;
  /** Direct connection to Database 1, without the proxy. */
  readonly db1: ClientConfig;
}

/** Concurrent writers, each with its own random source: a seed gives the same writes, whatever their timing. */
export class Workload {
  private readonly stopping = new AbortController();
  private readonly sql: SqlWriter[];
  private readonly running: Promise<unknown>[];
  private readonly probe: ApiWriter;

  constructor({ seed, history, apiUrl, db1 }: WorkloadOptions) {
    const randomOf = (writer: number): Random => new Random(seed * 1_000 + writer);
    const api = Array.from({ length: API_WRITERS }, (_, n) => new ApiWriter(n, randomOf(n), history, apiUrl));
    this.sql = Array.from({ length: SQL_WRITERS }, (_, n) => new SqlWriter(`sql${n}`, randomOf(100 + n), history, db1));
    this.probe = new ApiWriter(API_WRITERS, randomOf(200), history, apiUrl);
    const { signal } = this.stopping;
    this.running = [
      ...api.map((writer, n) => this.repeat(randomOf(300 + n), () => writer.write())),
      ...this.sql.map((writer, n) => this.repeat(randomOf(400 + n), () => writer.write(signal))),
    ];
  }

  /** Sends one write through the API. @returns whether it was acknowledged. */
  async probeApi(): Promise<boolean> {
    return (await this.probe.put('probe@example.com')).outcome === 'ok';
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.running);
    await Promise.all(this.sql.map((writer) => writer.close()));
  }

  private async repeat(random: Random, write: () => Promise<unknown>): Promise<void> {
    while (!this.stopping.signal.aborted) {
      await write();
      await delay(random.below(PAUSE_MS));
    }
  }
}
