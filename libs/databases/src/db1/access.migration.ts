import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * API keys, and what of the limits is used. A key's secret is never stored: `hash` is its SHA-256, which is enough for 256 random bits.
 * `rate_limits` is worth nothing after a crash, so it is not in the WAL.
 */
export class Access1764300000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE api_keys (
        id           text        COLLATE "C" PRIMARY KEY,
        name         text        NOT NULL,
        hash         bytea       NOT NULL,
        scopes       text[]      NOT NULL,
        created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
        created_by   text        NOT NULL,
        expires_at   timestamptz,
        revoked_at   timestamptz,
        last_used_at timestamptz,
        replaced_by  text        COLLATE "C" REFERENCES api_keys
      );

      CREATE UNLOGGED TABLE rate_limits (
        "window" bigint NOT NULL,
        subject  text   COLLATE "C" NOT NULL,
        taken    bigint NOT NULL,
        PRIMARY KEY ("window", subject)
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE rate_limits, api_keys');
  }
}
