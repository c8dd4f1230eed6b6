import type { FieldError } from './problem.js';

/** Matches where a JSON text may contain a number that JSON.parse rounds: all others have at most 15 digits and no exponent. */
const SUSPECT_NUMBER = /[\d.]{16}|\d[eE][+-]?\d/;
/** Names of members that JavaScript gives a meaning of its own. */
const REFUSED_NAMES: readonly string[] = ['__proto__', 'constructor'];
/** Texts of which a JSON text contains at least one where it has such a name: any of its letters may be an escape. */
const SUSPECT_NAMES = [...REFUSED_NAMES, '\\u00'];
/** The tokens of a valid JSON text, less colons and literals. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*|[{}[\],]/g;
/** A name that can be quoted: others may contain an email. */
const QUOTABLE = /^[^@\s]{1,64}$/;

/** Maximum number of errors that are reported for a text. */
const MAX_ERRORS = 20;
/** Maximum number of names in a pointer, so that a deeply nested text does not get an answer that is many times as long. */
const MAX_POINTER_NAMES = 32;

const INEXACT = 'cannot be kept exactly: numbers have the precision of a 64-bit float. Send it as a string';
const DUPLICATE = 'occurs more than once in its object, and programs differ in which value they take. Send it once';
const REFUSED = 'is not accepted as the name of a member, because JavaScript gives it a meaning of its own. Use another name';
const MORE = `has more errors: only the first ${MAX_ERRORS} are listed`;

const [BACKSLASH, COLON, SPACE] = [...Buffer.from('\\: ')] as [number, number, number];

/** An object or array that the scan is in. */
interface Container {
  /** The names of the members so far; undefined for an array. */
  readonly names: Set<string> | undefined;
  /** The name or index of the current member. */
  member: string | number;
  /** Whether the next string is the name of a member. */
  expectsName: boolean;
}

interface Scope {
  /** The name of the field that the text is the value of; without one the text is a whole body. */
  readonly root?: string;
  /** Whether the numbers of a field are stored, which decides whether they must be exact; true for all fields by default. */
  readonly storesNumbers?: (field: string) => boolean;
}

/**
 * Finds what a JSON text says and its parsed value does not, and what JavaScript does not treat as data:
 *
 * - numbers that JSON.parse rounds to another value: those with too many digits, and those that are too large or too close to 0. They would be
 *   stored wrong;
 * - members that occur twice. JSON.parse takes the last one, other parsers the first: a proxy that checked the one would let the other pass;
 * - the names `__proto__` and `constructor`: programs in JavaScript that copy members reach the prototypes of all objects by them. class-transformer,
 *   which reads the bodies of requests, leaves such members out without a word.
 *
 * Reports the first 20 of them, and whether there are more. A text that has none of them, as nearly all do, is only looked through.
 * @param json a valid JSON text.
 * @param value what JSON.parse made of it.
 */
export function jsonFlaws(json: string, value: unknown, scope: Scope = {}): FieldError[] {
  const isSuspect =
    SUSPECT_NUMBER.test(json) || SUSPECT_NAMES.some((text) => json.includes(text)) || countNames(json) !== countMembers(value);
  return isSuspect ? scan(json, scope) : [];
}

/** Returns the number of names of members in a valid JSON text: its strings that a colon follows. */
function countNames(json: string): number {
  let count = 0;
  for (let open = json.indexOf('"'); open >= 0; open = json.indexOf('"', open)) {
    let close = json.indexOf('"', open + 1);
    while (isEscaped(json, close)) close = json.indexOf('"', close + 1);
    open = close + 1;
    while (json.charCodeAt(open) <= SPACE) open += 1;
    if (json.charCodeAt(open) === COLON) count += 1;
  }
  return count;
}

/** Whether an odd number of backslashes precedes a character. */
function isEscaped(json: string, at: number): boolean {
  let from = at;
  while (json.charCodeAt(from - 1) === BACKSLASH) from -= 1;
  return (at - from) % 2 === 1;
}

/** Returns the number of members of all objects in a value. It uses no recursion, because a text of 64 KB can be nested 32,000 levels deep. */
function countMembers(value: unknown): number {
  let count = 0;
  const rest = [value];
  while (rest.length > 0) {
    const item = rest.pop();
    if (typeof item !== 'object' || item === null) continue;
    const items: unknown[] = Array.isArray(item) ? item : Object.values(item);
    if (!Array.isArray(item)) count += items.length;
    for (const inner of items) if (typeof inner === 'object') rest.push(inner);
  }
  return count;
}

function scan(json: string, { root, storesNumbers = () => true }: Scope): FieldError[] {
  const errors: FieldError[] = [];
  const path: Container[] = root === undefined ? [] : [{ names: undefined, member: root, expectsName: false }];
  for (const [token] of json.matchAll(TOKEN)) {
    const inner = path.at(-1);
    let detail: string | undefined;
    if (token === '{') path.push({ names: new Set(), member: '', expectsName: true });
    else if (token === '[') path.push({ names: undefined, member: 0, expectsName: false });
    else if (token === '}' || token === ']') path.pop();
    else if (token === ',') startMember(inner!);
    else if (!token.startsWith('"')) {
      if (!isExact(token) && storesNumbers(errorAt(path, INEXACT).field)) detail = INEXACT;
    } else if (inner?.expectsName) detail = readName(inner, JSON.parse(token) as string);
    if (detail === undefined) continue;
    const error = errorAt(path, detail);
    if (errors.length === MAX_ERRORS) return [...errors, { field: error.field, detail: MORE }];
    errors.push(error);
  }
  return errors;
}

function startMember(container: Container): void {
  if (container.names) container.expectsName = true;
  else container.member = Number(container.member) + 1;
}

/** Reads the name of a member. Returns what is wrong with it. */
function readName(inner: Container, name: string): string | undefined {
  const isDuplicate = inner.names!.has(name);
  inner.names!.add(name);
  inner.member = name;
  inner.expectsName = false;
  if (REFUSED_NAMES.includes(name)) return REFUSED;
  return isDuplicate ? DUPLICATE : undefined;
}

/** The pointer ends before the first name that may contain an email. */
function errorAt(path: readonly Container[], detail: string): FieldError {
  const names = path.slice(0, MAX_POINTER_NAMES).map(({ member }) => String(member));
  const hidden = names.findIndex((name) => !QUOTABLE.test(name));
  const shown = hidden < 0 ? names : names.slice(0, hidden);
  if (shown.length === 0) return { field: '(unknown field)', detail };
  return {
    field: shown[0]!,
    detail,
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
