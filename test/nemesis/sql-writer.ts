import { setTimeout as delay } from 'node:timers/promises';
import { Client, type ClientConfig } from 'pg';
import type { Random } from '../harness/random-operations.js';
import type { Effect, History, Operation } from './history.js';
import { someStatement, type Statement } from './sql-statements.js';

const RECONNECT_MS = 50;

/** The server's error for a statement that had no effect. After any other error, such as a shutdown of the server, the outcome is unknown. */
interface Refusal {
  readonly code?: string;
  readonly severity?: string;
  readonly message: string;
}

/** Writes like another program, on its own connection, which it replaces when it breaks. */
export class SqlWriter {
  private client: Client | undefined;
  private count = 0;

  constructor(
    private readonly name: string,
    private readonly random: Random,
    private readonly history: History,
    private readonly config: ClientConfig,
  ) {}

  async write(signal: AbortSignal): Promise<void> {
    const { random } = this;
    if (random.chance(0.7)) await this.run([someStatement(random)], signal);
    else await this.transaction(signal);
  }

  /** Runs the given statements, each in its own transaction. */
  async run(statements: readonly Statement[], signal: AbortSignal): Promise<void> {
    for (const statement of statements) {
      await this.note(statement.what, signal, async (client) => {
        const { rows } = await client.query(statement.text, [...statement.values]);
        return statement.effectsOf(rows);
      });
    }
  }

  async close(): Promise<void> {
    await this.client?.end().catch(() => undefined);
  }

  /** Runs several statements, some undone by a savepoint; a quarter of these transactions are rolled back. */
  private async transaction(signal: AbortSignal): Promise<void> {
    const { random } = this;
    const begin = random.chance(0.2) ? 'BEGIN ISOLATION LEVEL REPEATABLE READ' : 'BEGIN';
    const steps = Array.from({ length: 1 + random.below(4) }, () => ({ statement: someStatement(random), keep: random.chance(0.75) }));
    const commits = random.chance(0.75);
    await this.note(commits ? 'transaction' : 'rollback', signal, async (client) => {
      const effects: Effect[] = [];
      try {
        await client.query(begin);
        for (const { statement, keep } of steps) {
          await client.query('SAVEPOINT step');
          const done = await client.query(statement.text, [...statement.values]).catch(refusedOnly);
          if (done && keep) effects.push(...statement.effectsOf(done.rows));
          else await client.query('ROLLBACK TO SAVEPOINT step');
        }
        if (!commits) await client.query('ROLLBACK');
      } catch (error) {
        await client.query('ROLLBACK').catch(() => undefined);
        throw new NotCommitted((error as Error).message);
      }
      if (!commits) throw new NotCommitted('rolled back');
      await client.query('COMMIT');
      return effects;
    });
  }

  private async note(what: string, signal: AbortSignal, work: (client: Client) => Promise<readonly Effect[]>): Promise<void> {
    this.count += 1;
    const id = `${this.name}-${this.count}`;
    const operation = { id, by: 'sql' as const, what };
    const client = await this.connected(id, signal);
    if (!client) return;
    try {
      this.history.operation({ ...operation, outcome: 'ok', effects: await work(client) });
    } catch (error) {
      this.history.operation({ ...operation, ...outcomeOf(error as Refusal) });
    }
  }

  /** Returns a connection whose next changes have the operation's id, or undefined when `signal` aborts before there is one. */
  private async connected(id: string, signal: AbortSignal): Promise<Client | undefined> {
    while (!signal.aborted) {
      try {
        this.client ??= await this.connect();
        await this.client.query(`SELECT set_config('subscription_sync.reason', $1, false)`, [id]);
        return this.client;
      } catch {
        await this.client?.end().catch(() => undefined);
        this.client = undefined;
        await delay(RECONNECT_MS);
      }
    }
    return undefined;
  }

  private async connect(): Promise<Client> {
    const client = new Client({ ...this.config, connectionTimeoutMillis: 5_000 });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }
}

class NotCommitted extends Error {}

/** Ignores a refusal, after which the transaction is usable from its savepoint on, and throws any other error. */
function refusedOnly(error: unknown): undefined {
  if (isRefusal(error as Refusal)) return undefined;
  throw error;
}

function isRefusal({ code, severity }: Refusal): boolean {
  return severity === 'ERROR' && code !== undefined && !/^(08|57|58|XX)/.test(code);
}

function outcomeOf(error: Refusal): Pick<Operation, 'outcome' | 'effects' | 'why'> {
  const sure = error instanceof NotCommitted || isRefusal(error);
  return { outcome: sure ? 'fail' : 'info', effects: [], why: error.code ?? error.message };
}
