import { Pool } from 'pg';
import { BENCH, type Writer } from './pipeline.js';

/** Number of clients that write single rows at the same time. */
export const CLIENTS = 32;
const email = (row: string): string => `'user' || ${row} || '@example.com'`;

/** Writes by SQL to the table `subscriptions`, as any program could. */
export class SqlWriter implements Writer {
  /** Connections for single rows. Those of the pipeline's pool are fewer. */
  private readonly clients: Pool;

  /** `rowBytes` is the size of the text in `metadata`. It does not compress. */
  constructor(
    private readonly db1: Pool,
    private readonly rowBytes = 0,
  ) {
    // The pool hides its password from copies.
    this.clients = new Pool({ ...db1.options, password: db1.options.password, max: CLIENTS, application_name: BENCH });
  }

  async insert(from: number, to: number): Promise<void> {
    const text = `(SELECT string_agg(md5(i || ' ' || part), '') FROM generate_series(1, ${Math.ceil(this.rowBytes / 32)}) part)`;
    const metadata = this.rowBytes === 0 ? `'{}'` : `jsonb_build_object('text', ${text})`;
    await this.db1.query(
      `INSERT INTO subscriptions (email, status, metadata) SELECT ${email('i')}, 'active', ${metadata} FROM generate_series(${from}, ${to}) i`,
    );
  }

  async setStatus(from: number, to: number, status: string): Promise<void> {
    await this.db1.query(
      this.statement(
        `UPDATE subscriptions SET status = '${status}' WHERE email IN (SELECT ${email('i')} FROM generate_series(${from}, ${to}) i)`,
      ),
    );
  }

  async setPlan(row: number, plan: string): Promise<void> {
    await this.clients.query({
      name: 'set-plan',
      text: this.statement('UPDATE subscriptions SET plan = $2 WHERE email = $1'),
      values: [`user${row}@example.com`, plan],
    });
  }

  async setPlans(rows: readonly number[], plan: string): Promise<void> {
    await this.db1.query(`
      DO $$
      DECLARE
        written int;
      BEGIN
        FOREACH written IN ARRAY '{${rows.join(',')}}'::int[] LOOP
          UPDATE subscriptions SET plan = CASE plan WHEN '${plan}' THEN '${plan}b' ELSE '${plan}' END WHERE email = ${email('written')};
        END LOOP;
      END $$`);
  }

  /** Returns the statement that is executed for an update. */
  protected statement(update: string): string {
    return update;
  }

  close(): Promise<void> {
    return this.clients.end();
  }
}
