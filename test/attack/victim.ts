import { expect } from '@jest/globals';
import type { World } from '../harness/world.js';
import { exchange, LAST, type RawAnswer } from './raw-connection.js';

/** A subscription that exists, and one that an attack that succeeds creates. */
export const VICTIM = 'victim@example.com';
export const SMUGGLED = 'smuggled@example.com';

/** The server that is attacked, and what it must not lose, change or tell. */
export class Victim {
  private before = '';

  /** @param secrets texts that no refusal may contain. */
  constructor(
    private readonly world: World,
    private readonly secrets: readonly string[] = [],
  ) {}

  async remember(): Promise<void> {
    await this.world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'active') ON CONFLICT DO NOTHING`, [VICTIM]);
    this.before = await this.state();
  }

  /** Expects that an answer is a refusal that quotes nothing, and in the form of all errors. */
  expectRefusal({ status, head, body }: RawAnswer, ...statuses: readonly number[]): void {
    if (statuses.length > 0) expect(statuses).toContain(status);
    expect({ status, body }).toEqual({ status, body: expect.not.stringMatching(/@|\bat .*:\d+:\d+|SELECT |node_modules/) });
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    for (const secret of [...this.secrets, '@example.com', '%40example.com']) expect(head + body).not.toContain(secret);
    if (body === '') return;
    expect(head).toMatch(/\r\ncontent-type: application\/problem\+json/i);
    expect(JSON.parse(body)).toMatchObject({ status, detail: expect.any(String), request_id: expect.any(String) });
  }

  /** Expects that the server still answers, and that no row, change or key is another one. */
  async expectUnharmed(): Promise<void> {
    const { answers } = await exchange(this.world.url, LAST);
    expect(answers.map(({ status }) => status)).toEqual([200]);
    expect(await this.state()).toBe(this.before);
  }

  private async state(): Promise<string> {
    const { rows } = await this.world.db1.query<{ state: string }>(
      `SELECT concat_ws(' ', (SELECT md5(string_agg(s::text, ',' ORDER BY s::text)) FROM subscriptions s),
         (SELECT count(*) FROM subscription_sync.changes), (SELECT md5(string_agg(k::text, ',' ORDER BY k::text)) FROM (
           SELECT id, scopes, revoked_at FROM subscription_sync.api_keys) k), (SELECT count(*) FROM subscription_sync.idempotency_keys)) AS state`,
    );
    return rows[0]!.state;
  }
}
