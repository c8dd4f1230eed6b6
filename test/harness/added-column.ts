import type { MigrationInterface, QueryRunner } from 'typeorm';
import { BUSINESS_COLUMN_LIST, BUSINESS_COLUMN_NAMES, type BusinessColumn, DEFAULT_VALUES, ROW_COLUMN_NAMES } from '#events';

/**
 * Adds the business column `coupon` to the list of libs/events/src/columns.ts, and a migration to each database. This module is imported before the server
 * (`node --import ./dist/test/harness/added-column.js`), so that everything that is built from the list has the column.
 */
const COUPON: BusinessColumn = { kind: 'text', nullable: true, maxLength: 20, default: null, example: 'SPRING' };

(BUSINESS_COLUMN_LIST as unknown[]).push(['coupon', COUPON]);
(BUSINESS_COLUMN_NAMES as string[]).push('coupon');
(ROW_COLUMN_NAMES as string[]).splice(ROW_COLUMN_NAMES.indexOf('created_at'), 0, 'coupon');
(DEFAULT_VALUES as Record<string, unknown>)['coupon'] = null;

abstract class AddCoupon implements MigrationInterface {
  protected abstract readonly table: string;

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE ${this.table} ADD COLUMN coupon text`);
  }

  down(): Promise<void> {
    return Promise.resolve();
  }
}

class AddCouponToDb11764700000000 extends AddCoupon {
  protected readonly table = 'public.subscriptions';
}
class AddCouponToDb21764700000000 extends AddCoupon {
  protected readonly table = 'public.subscriptions';
}

// Imported after the change of the list, from which this library builds its statements when it is loaded.
const { DB1_MIGRATIONS, DB2_MIGRATIONS } = await import('#schema');
(DB1_MIGRATIONS as unknown[]).push(() => AddCouponToDb11764700000000);
(DB2_MIGRATIONS as unknown[]).push(() => AddCouponToDb21764700000000);
