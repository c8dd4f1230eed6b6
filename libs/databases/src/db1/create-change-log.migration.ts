import type { MigrationInterface, QueryRunner } from 'typeorm';
import { CREATE_CHANGE_LOG } from './change-log.sql.js';
import { makePartition, monthsAhead } from './log-partitions.js';
import { CREATE_WRITE_FUNCTIONS } from './write-functions.sql.js';
import { CREATE_OR_ADOPT_SUBSCRIPTIONS, EMAIL_IS_UNIQUE } from './subscriptions.sql.js';
import { CREATE_TRIGGERS, CREATE_TRUNCATE_GUARD } from './triggers.sql.js';
import { installTriggerFunctions } from './trigger-functions.js';

/** DB1 as design.md promises it: `subscriptions` (made or adopted), the change log, and the triggers between them. */
export class CreateChangeLog1763900000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(CREATE_OR_ADOPT_SUBSCRIPTIONS);
    const [unique] = (await runner.query(EMAIL_IS_UNIQUE)) as [{ found: boolean }];
    if (!unique.found) {
      throw new Error(
        'DB1.subscriptions exists without a unique index on email alone. ' +
          'Make it unique, then start again: CREATE UNIQUE INDEX CONCURRENTLY ON subscriptions (email)',
      );
    }
    await runner.query(CREATE_CHANGE_LOG);
    for (const month of monthsAhead(new Date())) await makePartition(runner.manager, month);
    await installTriggerFunctions((sql) => runner.query(sql));
    await runner.query(CREATE_TRUNCATE_GUARD);
    await runner.query(CREATE_TRIGGERS);
    await runner.query(CREATE_WRITE_FUNCTIONS);
  }

  /** Leaves `subscriptions` and its rows: other programs own them too. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TRIGGER zz_subscription_sync_insert ON subscriptions;
      DROP TRIGGER zz_subscription_sync_update ON subscriptions;
      DROP TRIGGER aa_subscription_sync_insert ON subscriptions;
      DROP TRIGGER aa_subscription_sync_update ON subscriptions;
      DROP TRIGGER aa_subscription_sync_truncate ON subscriptions;
      DROP FUNCTION subscription_create(text, jsonb, jsonb), subscription_put(text, jsonb, jsonb),
        subscription_patch(text, jsonb, jsonb), subscription_delete(text, jsonb), subscription_set_context(jsonb), subscription_json(subscriptions);
      DROP FUNCTION subscription_draw_version(), subscription_log_change(), subscription_refuse_truncate();
      DROP FUNCTION subscription_append_change(text, subscriptions, text, boolean), subscription_email(text);
      DROP FUNCTION subscription_may_follow(text, text, boolean);
      DROP TABLE subscription_changes, sync_checkpoint;
      DROP SEQUENCE subscription_version;
    `);
  }
}
