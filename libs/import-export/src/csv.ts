/** Columns of an export. An import takes them in any order, needs `email` and `status`, and may have {@link REACTIVATE}. */
export const COLUMNS = [
  'email',
  'status',
  'plan',
  'access_until',
  'cancel_at_period_end',
  'metadata',
  'version',
  'created_at',
  'updated_at',
] as const;
/** A column of an import alone. */
export const REACTIVATE = 'reactivate';

/** What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection"), full-width forms included; and what we put before it. */
const FORMULA = /^[=+\-@\t\r＝＋－＠']/;
const ESCAPED_FORMULA = /^'(?=[=+\-@\t\r＝＋－＠'])/;

/** The cell with an apostrophe before what a spreadsheet would run. A leading apostrophe gets another, so that {@link unescapeFormula} is exact. */
export function escapeFormula(cell: string): string {
  return FORMULA.test(cell) ? `'${cell}` : cell;
}

export function unescapeFormula(cell: string): string {
  return cell.replace(ESCAPED_FORMULA, '');
}
