import { connect } from 'node:net';

/** An answer, as it was on the wire. */
export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** Everything that the server sent on a connection. */
export interface Exchange {
  readonly answers: readonly RawAnswer[];
  /** What follows the last answer and is none. */
  readonly rest: string;
}

/** Timeout (ms) for the server to close a connection. */
const CLOSES_WITHIN_MS = 60_000;

/**
 * Sends bytes on a new connection and reads until the server closes it, which it must do by itself. Clients and libraries of tests would repair
 * what an attacker sends.
 */
export async function exchange(url: string, bytes: string | Buffer): Promise<Exchange> {
  const { hostname, port } = new URL(url);
  const received = await new Promise<string>((resolve, reject) => {
    let text = '';
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`The server did not close the connection. It sent ${JSON.stringify(text.slice(0, 500))}`));
    }, CLOSES_WITHIN_MS);
    const end = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(text);
    };
    // The kernel resets a connection that is closed before all bytes of the attack were read.
    socket
      .setEncoding('latin1')
      .on('data', (chunk: string) => (text += chunk))
      .on('end', end)
      .on('error', end)
      .on('close', end);
  });
  return answersIn(received);
}

function answersIn(text: string): Exchange {
  const answers: RawAnswer[] = [];
  let rest = text;
  for (;;) {
    const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(rest) ?? [];
    const end = rest.indexOf('\r\n\r\n') + 4;
    if (status === undefined || end < 4) return { answers, rest };
    const head = rest.slice(0, end);
    const { body, length } = bodyOf(head, rest.slice(end));
    answers.push({ status: Number(status), head, body });
    rest = rest.slice(end + length);
  }
}

/** Returns a body, and its length on the wire. The body of an answer without a length, as of a 204, is empty. */
function bodyOf(head: string, text: string): { body: string; length: number } {
  const length = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1] ?? 0);
  if (!/\r\ntransfer-encoding: chunked\r\n/i.test(head)) return { body: text.slice(0, length), length };
  let body = '';
  for (let at = 0; ;) {
    const [line, digits] = /^([\da-f]+)\r\n/i.exec(text.slice(at)) ?? [];
    // The connection ended inside the body.
    if (line === undefined) return { body: body + text.slice(at), length: text.length };
    const [begin, size] = [at + line.length, parseInt(digits!, 16)];
    body += text.slice(begin, begin + size);
    at = begin + size + 2;
    if (size === 0) return { body, length: at };
  }
}

/** Returns a request with exactly these lines of its head. */
export function rawRequest(start: string, headers: readonly string[] = [], body = ''): string {
  return `${[`${start} HTTP/1.1`, 'Host: localhost', ...headers].join('\r\n')}\r\n\r\n${body}`;
}

/** A request with a body of JSON. */
export function jsonRequest(start: string, body: string, headers: readonly string[] = []): string {
  return rawRequest(start, ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`, ...headers], body);
}

/** The last request of a connection: the server closes it after its answer. */
export const LAST = rawRequest('GET /health/live', ['Connection: close']);
