import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Pool } from 'pg';
import { pickFreePort } from '../../apps/standalone/src/plan.js';
import type { EmbeddedPostgres } from '../../apps/standalone/src/postgres.js';
import type { Servers } from '../servers.js';
import type { Pipeline } from './workload.js';

const CLOCK_TICKS_PER_SECOND = 100;

export interface Usage {
  /** CPU time (s) of all processes of the service. */
  readonly cpu: number;
  /** Peak resident memory (MB) of each process. */
  readonly memory: readonly number[];
}

/** The service, one process for each entry of `roles`. */
export class ServicePipeline implements Pipeline {
  private children: ChildProcess[] = [];
  /** Address of the first process. */
  url = '';

  private constructor(
    readonly db1: Pool,
    readonly db2: Pool,
    private readonly environment: Record<string, string>,
    private readonly roles: readonly string[],
    private readonly log: StdioOptions,
  ) {}

  /** Does the same as {@link create}, and starts and stops the processes once, so that they migrate the databases. */
  static async prepare(...parameters: Parameters<typeof ServicePipeline.create>): Promise<ServicePipeline> {
    const pipeline = await ServicePipeline.create(...parameters);
    await pipeline.start();
    await pipeline.stop();
    return pipeline;
  }

  /** Creates the databases `name`. Topic and group have the same name. */
  static async create(
    name: string,
    roles: readonly string[],
    capture: string,
    parts: Servers,
    more: Record<string, string> = {},
    log: StdioOptions = 'inherit',
  ): Promise<ServicePipeline> {
    const [part1, part2, kafka] = parts;
    for (const part of [part1, part2]) {
      const admin = new Client({ ...part, database: 'postgres' });
      await admin.connect();
      await admin.query(`CREATE DATABASE ${name}`);
      await admin.end();
    }
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
      ...more,
    };
    return new ServicePipeline(
      new Pool({ ...part1, database: name, max: 2 }),
      new Pool({ ...part2, database: name, max: 2 }),
      environment,
      roles,
      log,
    );
  }

  async start(): Promise<void> {
    for (const roles of this.roles) {
      const port = await pickFreePort();
      const child = spawn(process.execPath, ['dist/apps/server/src/main.js'], {
        env: { ...this.environment, ROLES: roles, PORT: String(port) },
        stdio: this.log,
      });
      if (this.children.length === 0) this.url = `http://127.0.0.1:${port}`;
      this.children.push(child);
      while (!(await isReady(port))) await delay(50);
    }
  }

  usage(): Usage {
    return usageOf(this.children);
  }

  async close(): Promise<void> {
    await this.stop();
    await Promise.all([this.db1.end(), this.db2.end()]);
  }

  private async stop(): Promise<void> {
    const children = this.children;
    this.children = [];
    for (const child of children) {
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

async function isReady(port: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => undefined);
  return ((await response?.json()) as { status?: string } | undefined)?.status === 'ok';
}
