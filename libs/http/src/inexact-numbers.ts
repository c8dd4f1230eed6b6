import type { FieldError } from './problem.js';

/** Matches where a JSON text may contain such a number: all others have at most 15 digits and no exponent. */
const SUSPECT = /[\d.]{16}|\d[eE][+-]?\d/;
/** The tokens of a valid JSON text, less colons and literals. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*|[{}[\],]/g;
/** A name that can be quoted: others may contain an email. */
const QUOTABLE = /^[^@\s]{1,64}$/;

/** Maximum number of errors that are reported for a text. */
const MAX_ERRORS = 20;

const DETAIL = 'cannot be kept exactly: numbers have the precision of a 64-bit float. Send it as a string';

/** An object or array that the scan is in. */
interface Container {
  readonly isArray: boolean;
  /** The name or index of the current member. */
  member: string | number;
  /** Whether the next string is the name of a member. */
  expectsName: boolean;
}

/**
 * Finds the numbers that JSON.parse rounds to another value: those with too many digits, and those that are too large or too close to 0. They
 * would be stored wrong. Reports the first 20 of them. A text without long numbers and exponents, as nearly all are, is not scanned.
 * @param json a valid JSON text.
 * @param root the name of the field that the text is the value of; without one the text is a whole body.
 */
export function inexactNumbers(json: string, root?: string): FieldError[] {
  if (!SUSPECT.test(json)) return [];
  const errors: FieldError[] = [];
  const path: Container[] = root === undefined ? [] : [{ isArray: false, member: root, expectsName: false }];
  for (const [token] of json.matchAll(TOKEN)) {
    const inner = path.at(-1);
    if (token === '{') path.push({ isArray: false, member: '', expectsName: true });
    else if (token === '[') path.push({ isArray: true, member: 0, expectsName: false });
    else if (token === '}' || token === ']') path.pop();
    else if (token === ',') startMember(inner!);
    else if (!token.startsWith('"')) {
      if (!isExact(token) && errors.push(errorAt(path)) === MAX_ERRORS) break;
    } else if (inner?.expectsName) {
      inner.member = JSON.parse(token) as string;
      inner.expectsName = false;
    }
  }
  return errors;
}

function startMember(container: Container): void {
  if (container.isArray) container.member = Number(container.member) + 1;
  else container.expectsName = true;
}

/** The pointer ends before the first name that may contain an email. */
function errorAt(path: readonly Container[]): FieldError {
  const names = path.map(({ member }) => String(member));
  const hidden = names.findIndex((name) => !QUOTABLE.test(name));
  const shown = hidden < 0 ? names : names.slice(0, hidden);
  if (shown.length === 0) return { field: '(unknown field)', detail: DETAIL };
  return {
    field: shown[0]!,
    detail: DETAIL,
    pointer: shown.map((name) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''),
  };
}

/** Whether the number that JSON.parse makes of the text, printed again, has the value of the text. */
function isExact(text: string): boolean {
  const value = Number(text);
  return Number.isFinite(value) && decimal(text) === decimal(String(value));
}

/** Returns one text for all spellings of a value, as in `-12e3` for -12000.0. */
function decimal(text: string): string {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e');
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.');
  const digits = (whole + fraction).replace(/^0+/, '');
  if (digits === '') return '0';
  // A pattern of trailing zeros takes quadratic time on long runs of zeros.
  let end = digits.length;
  while (digits[end - 1] === '0') end -= 1;
  const power = Number(exponent) - fraction.length + digits.length - end;
  return `${mantissa.startsWith('-') ? '-' : ''}${digits.slice(0, end)}e${power}`;
}
