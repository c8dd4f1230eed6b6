/** A column that only imports have. */
export const REACTIVATE = 'reactivate';

/** Characters that make a spreadsheet treat a cell as a formula (OWASP, "CSV Injection"), including full-width forms, and the apostrophe that escapes them. */
const FORMULA = /^[=+\-@\t\r＝＋－＠']/;
const ESCAPED_FORMULA = /^'(?=[=+\-@\t\r＝＋－＠'])/;

/** Puts an apostrophe before a cell that a spreadsheet would run. A leading apostrophe gets another, so that {@link unescapeFormula} is exact. */
export function escapeFormula(cell: string): string {
  return FORMULA.test(cell) ? `'${cell}` : cell;
}

export function unescapeFormula(cell: string): string {
  return cell.replace(ESCAPED_FORMULA, '');
}
