const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
/** Outside strings, the only characters of a JSON text up to this code are JSON's whitespace: tab, line feed, carriage return, space. */
const SPACE = 0x20;
const WHITESPACE = /\s+/g;

/**
 * Returns the text of an object's member as it is in the JSON text, so that its numbers keep their digits. If several members have the
 * name, returns the last, as JSON.parse does; undefined if there is none, or its name is written with escapes.
 *
 * `json` must be the valid JSON text of an object. Takes about 0.7 µs for 500 characters: strings are skipped by indexOf.
 */
export function rawMember(json: string, name: string): string | undefined {
  let found: string | undefined;
  forEachMember(json, (keyStart, keyEnd, valueStart, valueEnd) => {
    if (keyEnd - keyStart === name.length + 2 && json.startsWith(name, keyStart + 1)) found = json.slice(valueStart, valueEnd);
  });
  return found;
}

/** Returns the texts of all members of an object by their names, whose escapes are resolved. Of members with the same name the last counts. */
export function rawMembers(json: string): Map<string, string> {
  const members = new Map<string, string>();
  forEachMember(json, (keyStart, keyEnd, valueStart, valueEnd) => {
    members.set(JSON.parse(json.slice(keyStart, keyEnd)) as string, json.slice(valueStart, valueEnd));
  });
  return members;
}

function forEachMember(json: string, visit: (keyStart: number, keyEnd: number, valueStart: number, valueEnd: number) => void): void {
  let at = skipSpace(json, json.indexOf('{') + 1);
  while (json.charCodeAt(at) === QUOTE) {
    const keyEnd = skipString(json, at);
    const valueStart = skipSpace(json, skipSpace(json, keyEnd) + 1);
    const valueEnd = skipValue(json, valueStart);
    visit(at, keyEnd, valueStart, valueEnd);
    at = skipSpace(json, skipSpace(json, valueEnd) + 1);
  }
}

/** Returns the JSON text without whitespace outside strings, so that its numbers keep their digits. `json` must be valid JSON. */
export function compactJson(json: string): string {
  let compact = '';
  let at = 0;
  for (let quote = json.indexOf('"'); quote >= 0; quote = json.indexOf('"', at)) {
    const end = skipString(json, quote);
    compact += json.slice(at, quote).replace(WHITESPACE, '') + json.slice(quote, end);
    at = end;
  }
  return compact + json.slice(at).replace(WHITESPACE, '');
}

function skipSpace(json: string, from: number): number {
  let at = from;
  while (json.charCodeAt(at) <= SPACE) at += 1;
  return at;
}

/** Returns the index after the closing quote: the first quote with an even number of backslashes before it. */
function skipString(json: string, from: number): number {
  for (let end = json.indexOf('"', from + 1); ; end = json.indexOf('"', end + 1)) {
    let before = end;
    while (json.charCodeAt(before - 1) === BACKSLASH) before -= 1;
    if ((end - before) % 2 === 0) return end + 1;
  }
}

function skipValue(json: string, from: number): number {
  const first = json.charCodeAt(from);
  if (first === QUOTE) return skipString(json, from);
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return skipNested(json, from);
  let at = from;
  for (let code = first; code > SPACE && code !== COMMA && code !== CLOSE_BRACE && code !== CLOSE_BRACKET; code = json.charCodeAt(at))
    at += 1;
  return at;
}

function skipNested(json: string, from: number): number {
  let at = from;
  let depth = 0;
  do {
    const code = json.charCodeAt(at);
    if (code === QUOTE) {
      at = skipString(json, at);
      continue;
    }
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth += 1;
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth -= 1;
    at += 1;
  } while (depth > 0);
  return at;
}
