import type { MigrationInterface, QueryRunner } from 'typeorm';
import { CREATE_IDEMPOTENCY_KEYS } from './idempotency-keys.js';
import { indexSmallTable } from './list-indexes.js';
import { CREATE_MERGE_FUNCTIONS, CREATE_SUBSCRIPTION_WRITE } from './subscription-write.sql.js';
import { installTriggerFunctions } from './trigger-functions.js';

/**
 * Conditional and idempotent writes (ADR 15), the lifecycle, and the lists' indexes. The functions that the release before writes with
 * stay: its processes run beside ours while a deployment rolls.
 *
 * Locks in the order in which writers take them, `subscriptions` first; who can't have one in 2 s leaves, and tries again.
 */
export class ConditionalWrites1764200000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '2s'`);
    await indexSmallTable(runner.manager);
    await runner.query('ALTER TABLE subscription_changes ADD COLUMN forbidden boolean NOT NULL DEFAULT false');
    await runner.query(CREATE_IDEMPOTENCY_KEYS);
    await installTriggerFunctions((sql) => runner.query(sql));
    await runner.query('DROP FUNCTION IF EXISTS subscription_append_change(text, subscriptions, text)');
    await runner.query(CREATE_MERGE_FUNCTIONS);
    await runner.query(CREATE_SUBSCRIPTION_WRITE);
    await runner.query('SET LOCAL lock_timeout = DEFAULT');
  }

  /** The triggers write `forbidden`: it goes with the log. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP FUNCTION subscription_write(text, text, jsonb, jsonb, bigint[], bigint[]);
      DROP FUNCTION subscription_merge_metadata(jsonb, jsonb, jsonb), subscription_merge_patch(jsonb, jsonb);
      DROP TABLE idempotency_keys;
      DROP INDEX IF EXISTS subscriptions_by_status, subscriptions_by_version, subscriptions_by_updated_at, subscriptions_by_email;
    `);
  }
}
