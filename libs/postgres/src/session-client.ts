import { Client, type ClientConfig, escapeLiteral, type QueryConfig, type QueryResult } from 'pg';
import type { TlsSettings } from '#config';
import { isPostgresError } from './errors.js';
import { transportOf } from './tls-connection.js';

/** PostgreSQL's settings by name. */
export type SessionSettings = Readonly<Record<string, string | number>>;

export interface SessionConfig extends ClientConfig {
  readonly tls?: TlsSettings | undefined;
  /** They hold for each statement. A connection must not get them in `options`: poolers refuse those, or ignore them. */
  readonly session: SessionSettings;
}

/** Settings that a transaction cannot have, that BEGIN sets, or that are about a socket: a pooler's own, where there is one. */
const OF_SESSIONS_ONLY = /^(default_transaction_|idle_session_timeout$|tcp_)/;
const STARTS_TRANSACTION = /^(START TRANSACTION|BEGIN)\b/i;
const PROBE_NAME = 'subscription_sync_probe';

/**
 * A client whose statements run with the given settings of PostgreSQL, whether it is connected to the server or to a pooler that lends a session of
 * the server for one transaction (PgBouncer's transaction mode).
 *
 * A session of its own gets the settings once. Through a pooler, each transaction begins with them, and a statement without a transaction gets
 * one of its own; it still takes one round trip, because nothing waits for an answer in between. A setting never outlives the transaction, in
 * which other programs' sessions would have it.
 *
 * Whether a pooler is in between is noticed by the number of the server's process, which only the server knows. Some providers' proxies invent
 * a number, too: their sessions are treated like a pooler's, which is slower by the settings and no less correct.
 */
export class SessionClient extends Client {
  /** Whether statements may run in different sessions of the server. */
  isPooled = false;
  /** Whether a statement that was prepared under a name can be run again. */
  keepsPrepared = true;
  /** The server's process that ran the last transaction. */
  protected backendPid: number | undefined;
  private session: SessionSettings;
  private readonly send: (...args: unknown[]) => Promise<QueryResult>;

  constructor(config: SessionConfig) {
    super(forOneClient(config));
    this.session = config.session;
    this.send = this.query.bind(this);
    this.query = ((...args: unknown[]) => this.run(args)) as Client['query'];
  }

  override connect(): Promise<Client>;
  override connect(callback: (error: Error) => void): void;
  override connect(callback?: (error: never) => void): Promise<Client> | undefined {
    const connected = this.connectAndPrepare();
    if (!callback) return connected;
    const done = callback as (error: Error | null) => void;
    connected.then(() => done(null), done);
    return undefined;
  }

  /** Runs `work` with another value for one of the settings. */
  async withSetting<T>(name: string, value: string | number, work: () => Promise<T>): Promise<T> {
    const usual = this.session;
    await this.change(name, { ...usual, [name]: value });
    try {
      return await work();
    } finally {
      await this.change(name, usual).catch(() => undefined);
    }
  }

  protected run(args: unknown[]): unknown {
    if (!this.isPooled) return this.send(...args);
    const [statement] = args as [string | QueryConfig];
    const text = typeof statement === 'string' ? statement : statement.text;
    if (this.getTransactionStatus() === 'I' && STARTS_TRANSACTION.test(text)) return this.begin();
    const named = typeof statement === 'string' || this.keepsPrepared ? statement : { ...statement, name: undefined };
    const send = (): Promise<QueryResult> => this.send(named, ...args.slice(1));
    return this.getTransactionStatus() === 'I' ? this.runAlone(send) : send();
  }

  private async connectAndPrepare(): Promise<Client> {
    await super.connect();
    try {
      const { rows } = await this.send('SELECT pg_backend_pid() AS pid');
      this.backendPid = (rows as [{ pid: number }])[0].pid;
      this.isPooled = this.backendPid !== (this as unknown as { readonly processID: number }).processID;
      if (this.isPooled) {
        Object.assign(this, { pipeline: true });
        this.keepsPrepared = await this.isPreparedKept();
      } else {
        await this.send(assignments('SET', Object.entries(this.session)));
      }
      return this;
    } catch (error) {
      // A pool forgets a client that did not connect, and does not close it.
      this.connection.stream.destroy();
      throw error;
    }
  }

  /**
   * A pooler that keeps prepared statements gives them names of its own, because the sessions that it lends have those of many clients. One
   * that passes a name on does not know that the next session lacks the statement.
   */
  private async isPreparedKept(): Promise<boolean> {
    const text = `SELECT NOT EXISTS (SELECT FROM pg_prepared_statements WHERE name = '${PROBE_NAME}') AS renamed`;
    await this.begin();
    try {
      const { rows } = await this.send({ name: PROBE_NAME, text });
      const { renamed } = (rows as [{ renamed: boolean }])[0];
      if (!renamed) await this.send(`DEALLOCATE ${PROBE_NAME}`);
      return renamed;
    } catch (error) {
      // The session has the statement of an earlier client, or the pooler refuses prepared statements.
      if (isPostgresError(error)) return false;
      throw error;
    } finally {
      await this.send('ROLLBACK');
    }
  }

  /** Runs a statement in a transaction of its own, in one round trip. The first of its errors is the cause of the others. */
  private async runAlone(send: () => Promise<QueryResult>): Promise<QueryResult> {
    const [begun, answer, ended] = await Promise.allSettled([this.begin(), send(), this.send('COMMIT')]);
    for (const step of [begun, answer, ended]) {
      if (step.status === 'rejected') throw step.reason;
    }
    return (answer as PromiseFulfilledResult<QueryResult>).value;
  }

  private async begin(): Promise<void> {
    const settings = Object.entries(this.session).filter(([name]) => !OF_SESSIONS_ONLY.test(name));
    const start = 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE NOT DEFERRABLE';
    try {
      const results: unknown = await this.send(`${start}; ${assignments('SET LOCAL', settings)}; SELECT pg_backend_pid() AS pid`);
      this.backendPid = (results as QueryResult<{ pid: number }>[]).at(-1)!.rows[0]!.pid;
    } catch (error) {
      if (isPostgresError(error)) await this.send('ROLLBACK').catch(() => undefined);
      throw error;
    }
  }

  private async change(name: string, session: SessionSettings): Promise<void> {
    this.session = session;
    if (!this.isPooled) await this.send(assignments('SET', [[name, session[name]!]]));
  }
}

/** Returns the configuration with a transport, which serves one client. It is no copy, because the pool hides the password from copies. */
export function forOneClient<Config extends SessionConfig>(config: Config): Config {
  return Object.assign(Object.create(config) as Config, transportOf(config.tls, config));
}

function assignments(command: 'SET' | 'SET LOCAL', settings: readonly (readonly [string, string | number])[]): string {
  return settings.map(([name, value]) => `${command} ${name} = ${escapeLiteral(String(value))}`).join('; ');
}
