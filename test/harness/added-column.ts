import { BUSINESS_COLUMN_LIST, BUSINESS_COLUMN_NAMES, type BusinessColumn, DEFAULT_VALUES, ROW_COLUMN_NAMES } from '#events';

/**
 * Adds the business column `coupon` to the list of libs/events/src/columns.ts. This module is imported before the server
 * (`node --import ./dist/test/harness/added-column.js`), so that everything that is built from the list has the column.
 */
const COUPON: BusinessColumn = { kind: 'text', nullable: true, maxLength: 20, default: null, example: 'SPRING' };

(BUSINESS_COLUMN_LIST as unknown[]).push(['coupon', COUPON]);
(BUSINESS_COLUMN_NAMES as string[]).push('coupon');
(ROW_COLUMN_NAMES as string[]).splice(ROW_COLUMN_NAMES.indexOf('version'), 0, 'coupon');
(DEFAULT_VALUES as Record<string, unknown>)['coupon'] = null;
