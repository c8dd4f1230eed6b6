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
