import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Pool } from 'pg';
import { pickFreePort } from '../../apps/standalone/src/plan.js';
import type { EmbeddedPostgres } from '../../apps/standalone/src/postgres.js';
import { eventually } from '../../test/harness/eventually.js';
import { pastTriggers } from '../../test/harness/past-triggers.js';
import type { Servers } from '../servers.js';
import { createDatabases, deleteTopics, dropDatabases, type Pipeline } from './pipeline.js';
import { SqlWriter } from './sql-writer.js';

const CLOCK_TICKS_PER_SECOND = 100;
/** Number of partitions of a topic, unless a benchmark compares them: the service's default. */
export const PARTITIONS = 6;

export interface Usage {
  /** CPU time (s) of all processes of the service. */
  readonly cpu: number;
  /** Peak resident memory (MB) of each process. */
  readonly memory: readonly number[];
}

/** The service, one process for each entry of `roles`. */
export class ServicePipeline implements Pipeline {
  private children: [roles: string, process: ChildProcess][] = [];
  private hasStarted = false;
  readonly writer: SqlWriter;
  /** Address of the process with the first roles. */
  url = '';

  private constructor(
    readonly db1: Pool,
    readonly db2: Pool,
    private readonly servers: Servers,
    private readonly environment: Record<string, string>,
    private readonly roles: readonly string[],
    private readonly log: StdioOptions,
    rowBytes: number,
  ) {
    this.writer = new SqlWriter(db1, rowBytes);
  }

  /** Does the same as {@link create}, and starts and stops the processes once, so that they migrate the databases. */
  static async prepare(...parameters: Parameters<typeof ServicePipeline.create>): Promise<ServicePipeline> {
    const pipeline = await ServicePipeline.create(...parameters);
    try {
      await pipeline.start();
      await pipeline.stop();
      return pipeline;
    } catch (error) {
      await pipeline.close();
      throw error;
    }
  }

  /** Creates the databases `name`. Topic and group have the same name. */
  static async create(
    name: string,
    roles: readonly string[],
    capture: string,
    parts: Servers,
    more: Record<string, string> = {},
    log: StdioOptions = 'inherit',
    rowBytes = 0,
  ): Promise<ServicePipeline> {
    const [part1, part2, kafka] = parts;
    const [db1, db2] = await createDatabases(name, parts);
    const database = (prefix: string, { host, port, user, password }: EmbeddedPostgres): Record<string, string> => ({
      [`${prefix}_HOST`]: host,
      [`${prefix}_PORT`]: String(port),
      [`${prefix}_USER`]: user,
      [`${prefix}_PASSWORD`]: password,
      [`${prefix}_DATABASE`]: name,
    });
    const environment = {
      ...database('DB1', part1),
      ...database('DB2', part2),
      KAFKA_SERVER: kafka.server,
      KAFKA_TOPIC: name,
      KAFKA_GROUP_ID: name,
      CAPTURE: capture,
      LOG_LEVEL: 'warn',
      ...tracingSettings(),
      ...more,
    };
    return new ServicePipeline(db1, db2, parts, environment, roles, log, rowBytes);
  }

  /**
   * Starts the processes. When there are tables and a topic already, the one that publishes changes starts last: otherwise a backlog would be in Kafka
   * before the first row arrives, and its publication would not count.
   */
  async start(): Promise<void> {
    const publishes = (roles: string): number => Number(roles.includes('sync'));
    const processes = this.hasStarted ? this.roles.toSorted((a, b) => publishes(a) - publishes(b)) : this.roles;
    this.hasStarted = true;
    for (const roles of processes) {
      const port = await pickFreePort();
      const child = spawn(process.execPath, ['dist/apps/server/src/main.js'], {
        env: { ...this.environment, ROLES: roles, PORT: String(port) },
        stdio: this.log,
      });
      endWithParent(child);
      if (roles === this.roles[0]) this.url = `http://127.0.0.1:${port}`;
      this.children.push([roles, child]);
      await eventually(() => isReady(port, child));
    }
  }

  processes(): readonly (readonly [part: string, pid: number])[] {
    return this.children.map(([roles, { pid }]) => [roles, pid!]);
  }

  async fill(rows: number): Promise<void> {
    const insert = `INSERT INTO subscriptions (email, status) SELECT 'user' || i || '@example.com', 'active' FROM generate_series(1, ${rows}) i`;
    await Promise.all([this.db1.query(`SET statement_timeout = 0; ${pastTriggers(insert)}`), this.db2.query(insert)]);
    // DB1's log does not have these rows. With another version, a run would find a record that DB1 never wrote, and repair the row.
    await this.db2.query('INSERT INTO subscription_sync.applied (email, version) SELECT email, 0 FROM subscriptions');
    await this.db1.query('VACUUM ANALYZE subscriptions');
    await this.db2.query('VACUUM ANALYZE subscriptions, subscription_sync.applied');
  }

  usage(): Usage {
    return usageOf(this.children.map(([, child]) => child));
  }

  async close(): Promise<void> {
    await this.stop();
    await this.writer.close();
    await dropDatabases(this.environment.DB1_DATABASE!, [this.db1, this.db2], this.servers);
    await deleteTopics(this.servers[2].server, this.environment.KAFKA_TOPIC!);
  }

  private async stop(): Promise<void> {
    const children = this.children;
    this.children = [];
    for (const [, child] of children) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    }
  }
}

export function usageOf(processes: readonly ChildProcess[]): Usage {
  const stats = processes.map(({ pid }) => ({
    fields: readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' '),
    peak: /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1],
  }));
  return {
    cpu: stats.reduce((sum, { fields }) => sum + Number(fields[11]) + Number(fields[12]), 0) / CLOCK_TICKS_PER_SECOND,
    memory: stats.map(({ peak }) => Math.round(Number(peak) / 1_024)),
  };
}

/** Ends a process when this one exits, as it does on a signal. */
function endWithParent(child: ChildProcess): void {
  const end = (): boolean => child.kill('SIGKILL');
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
}

/** Returns whether the process is ready. @throws Error when it has ended. */
async function isReady(port: number, child: ChildProcess): Promise<boolean> {
  if (child.exitCode !== null) throw new Error(`The service ended with code ${child.exitCode}`);
  const response = await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => undefined);
  return ((await response?.json()) as { status?: string } | undefined)?.status === 'ok';
}

/** Returns OpenTelemetry's variables, with which the cost of traces is measured. */
function tracingSettings(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) => (name.startsWith('OTEL_') && value ? [[name, value]] : [])),
  );
}
