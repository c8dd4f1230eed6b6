import { Client, type ClientConfig } from 'pg';

/** The server's own timeout comes first: it ends the statement, too, and the connection stays usable. */
const GRACE_MS = 2_000;

/**
 * A client of a pool, none of whose statements waits for ever: a database may be cut off in a way that leaves the connection open
 * and silent, and TCP takes many minutes to notice that.
 *
 * A statement that is not answered in time rejects with ETIMEDOUT, and the connection is destroyed with it, so that the pool opens
 * another one. pg's own `query_timeout` leaves the connection as it is: back in the pool, it would let the next statement wait
 * behind the one that nobody waits for any more. What the server made of the statement is unknown.
 */
export class BoundedClient extends Client {
  private statementMs: number;

  constructor(config: ClientConfig & { readonly statementMs: number }) {
    super(config);
    // Between the pool and its user, and back, nobody listens for a moment: an end just then would end the process. The next
    // statement tells of it.
    this.on('error', () => undefined);
    this.statementMs = config.statementMs;
    const query = this.query.bind(this) as (...args: unknown[]) => unknown;
    this.query = ((...args: unknown[]) => this.bounded(query(...args))) as Client['query'];
  }

  /** Other bounds for each statement of `work`: the server's is the caller's to set. */
  async within<T>(statementMs: number, work: () => Promise<T>): Promise<T> {
    const usual = this.statementMs;
    this.statementMs = statementMs;
    try {
      return await work();
    } finally {
      this.statementMs = usual;
    }
  }

  /**
   * From now on the server has `statementMs` to answer a statement; then the connection is destroyed, which rejects it.
   * @returns what to call when it has answered.
   */
  bound(statementMs: number): () => void {
    const ms = statementMs + GRACE_MS;
    const timer = setTimeout(() => {
      this.connection.stream.destroy(Object.assign(new Error(`no answer within ${ms} ms`), { code: 'ETIMEDOUT' }));
    }, ms);
    return () => clearTimeout(timer);
  }

  private bounded(answer: unknown): unknown {
    if (!(answer instanceof Promise)) return answer;
    const answered = this.bound(this.statementMs);
    answer.then(answered, answered);
    return answer;
  }
}
