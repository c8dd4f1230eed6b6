import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { packageRoot } from '../../../apps/standalone/src/child-process.js';
import { BARE_TABLE } from './native.js';
import {
  type Contender,
  createDatabases,
  deleteTopics,
  dropDatabases,
  type Pipeline,
  type Stand,
  withKafkaAdmin,
  type Writer,
} from '../pipeline.js';
import { PARTITIONS } from '../service-pipeline.js';
import { CLIENTS } from '../sql-writer.js';

/** Timeout (ms) for the start of a process. */
const START_TIMEOUT_MS = 120_000;

/** A service as tutorials of Nest build it: a controller saves and emits, and a handler saves one row at a time. Changes go through its HTTP API. */
export const tutorial: Contender = { name: 'tutorial', title: 'the tutorial way', share: 0.05, prepare };

async function prepare(name: string, { servers, wires }: Stand): Promise<Pipeline> {
  const [db1, db2] = await createDatabases(name, servers);
  const children: [part: 'api' | 'handler', child: ChildProcess][] = [];
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS, noDelay: true });
  const run = async (part: 'api' | 'handler'): Promise<number> => {
    const { user, password, host, port } = wires[part === 'api' ? 0 : 1];
    const child = fork(`${packageRoot()}/dist/bench/pipeline/contenders/tutorial/main.js`, [part], {
      env: {
        ...process.env,
        DATABASE_URL: `postgresql://${user}:${password}@${host}:${port}/${name}`,
        KAFKA_SERVER: wires[2].server,
        KAFKA_TOPIC: name,
        KAFKAJS_NO_PARTITIONER_WARNING: '1',
      },
    });
    children.push([part, child]);
    const started = once(child, 'message', { signal: AbortSignal.timeout(START_TIMEOUT_MS) }) as Promise<[number]>;
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`The tutorial's ${part} ended with code ${code}`);
    });
    ended.catch(() => undefined);
    return (await Promise.race([started, ended]))[0];
  };
  const close = async (): Promise<void> => {
    agent.destroy();
    await Promise.all(children.map(([, child]) => stop(child)));
    await dropDatabases(name, [db1, db2], servers);
    await deleteTopics(servers[2].server, name);
  };
  try {
    for (const database of [db1, db2]) await database.query(BARE_TABLE);
    await withKafkaAdmin(wires[2].server, (admin) =>
      admin.createTopics({ topics: [{ topic: name, numPartitions: PARTITIONS, replicationFactor: 1 }], waitForLeaders: true }),
    );
    const port = await run('api');
    return {
      db1,
      db2,
      writer: new HttpWriter(agent, port),
      start: async () => {
        await run('handler');
      },
      processes: () => children.map(([part, { pid }]) => [part, pid!]),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill();
  await exited;
}

/** Writes by requests, one for each row. Requests for the same row never overlap, so that their order is certain. */
class HttpWriter implements Writer {
  constructor(
    private readonly agent: Agent,
    private readonly port: number,
  ) {}

  insert(from: number, to: number): Promise<void> {
    return this.setStatus(from, to, 'active');
  }

  setStatus(from: number, to: number, status: string): Promise<void> {
    return this.putAll(
      Array.from({ length: to - from + 1 }, (_, index) => from + index),
      () => ({ status }),
    );
  }

  setPlan(row: number, plan: string): Promise<void> {
    return this.put(row, { plan });
  }

  setPlans(rows: readonly number[], plan: string): Promise<void> {
    return this.putAll(rows, (index) => ({ plan: `${plan}-${index}` }));
  }

  private async putAll(rows: readonly number[], bodyOf: (index: number) => object): Promise<void> {
    const client = async (lane: number): Promise<void> => {
      for (const [index, row] of rows.entries()) if (row % CLIENTS === lane) await this.put(row, bodyOf(index));
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, lane) => client(lane)));
  }

  private put(row: number, body: object): Promise<void> {
    const text = JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          agent: this.agent,
          host: '127.0.0.1',
          port: this.port,
          method: 'PUT',
          path: `/subscriptions/user${row}@example.com`,
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
        },
        (response) => {
          response.resume().once('end', () => {
            if (response.statusCode === 200) resolve();
            else reject(new Error(`The tutorial's API answered ${response.statusCode}`));
          });
        },
      );
      sent.once('error', reject).end(text);
    });
  }
}
