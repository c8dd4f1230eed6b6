import type { MigrationInterface, QueryRunner } from 'typeorm';
import { CREATE_SUBSCRIPTION_PUT_LINES } from './subscription-put-lines.sql.js';

/** `subscription_import`, which does not judge, stays: processes of the release before run beside ours while a deployment rolls. */
export class ImportsObeyTheLifecycle1764550000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(CREATE_SUBSCRIPTION_PUT_LINES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION subscription_put_lines(jsonb, jsonb)');
  }
}
