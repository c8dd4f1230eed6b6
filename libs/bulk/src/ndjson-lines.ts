import { isUtf8 } from 'node:buffer';
import { toRow } from './import-line.js';
import { LINE_BYTES, type ParsedLine } from './parsed-line.js';

const LINE_FEED = 0x0a;

/** JSON, one object a line (RFC 8259 each). Holds no more than a line and the chunk in hand; a line that is too long is skipped, not held. */
export async function* ndjsonLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<ParsedLine[], void, void> {
  let line = 0;
  /** The beginning of a line whose end has not come yet. */
  let pieces: Buffer[] = [];
  let held = 0;
  for await (const chunk of chunks) {
    const parsed: ParsedLine[] = [];
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      line += 1;
      const bytes = end - from + held;
      const text =
        held === 0 ? chunk.subarray(from, end) : bytes > LINE_BYTES ? chunk : Buffer.concat([...pieces, chunk.subarray(from, end)]);
      push(parsed, line, text, bytes);
      pieces = [];
      held = 0;
      from = end + 1;
    }
    if (from < chunk.length) {
      held += chunk.length - from;
      if (held > LINE_BYTES) pieces = [];
      else pieces.push(chunk.subarray(from));
    }
    yield parsed;
  }
  if (held === 0) return;
  const last: ParsedLine[] = [];
  push(last, line + 1, Buffer.concat(pieces), held);
  yield last;
}

/** Empty lines count, and are no rows. */
function push(parsed: ParsedLine[], line: number, text: Buffer, bytes: number): void {
  if (bytes > LINE_BYTES) {
    parsed.push([{ line, detail: `is longer than ${LINE_BYTES} bytes` }]);
    return;
  }
  if (!isUtf8(text)) {
    parsed.push([{ line, detail: 'is not UTF-8' }]);
    return;
  }
  const json = text.toString().trim();
  if (json === '') return;
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    parsed.push([{ line, detail: 'is not JSON' }]);
    return;
  }
  parsed.push(toRow(line, value));
}
