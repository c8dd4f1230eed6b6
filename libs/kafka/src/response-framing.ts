import type { Socket } from 'node:net';

/** Of an answer's size, and of the number of its request, with which each answer begins. */
const SIZE_BYTES = 4;

/**
 * Hands kafkajs whole answers only. Each has its size before it (Kafka protocol: int32, big endian). kafkajs keeps what it has of an
 * answer when its connection ends, and takes what the next connection brings for the rest: it then reads sizes out of the middle of
 * something, and throws where nobody catches it, which ended the process.
 */
export function frameResponses(socket: Socket): Socket {
  const on = socket.on.bind(socket) as (event: string, listener: (...args: never[]) => void) => Socket;
  socket.on = ((event: string, listener: (...args: never[]) => void): Socket =>
    on(event, event === 'data' ? wholeAnswersTo(listener as (data: Buffer) => void, socket) : listener)) as Socket['on'];
  return socket;
}

function wholeAnswersTo(listener: (data: Buffer) => void, socket: Socket): (chunk: Buffer) => void {
  let chunks: Buffer[] = [];
  let buffered = 0;
  let needed = SIZE_BYTES;
  return (chunk) => {
    chunks.push(chunk);
    buffered += chunk.length;
    if (buffered < needed) return;
    const data = chunks.length === 1 ? chunk : Buffer.concat(chunks);
    let whole = 0;
    needed = SIZE_BYTES;
    while (whole + SIZE_BYTES <= data.length) {
      const size = data.readInt32BE(whole);
      if (size < SIZE_BYTES) return void socket.destroy(new Error(`an answer of ${size} bytes is none of Kafka's`));
      if (whole + SIZE_BYTES + size > data.length) {
        needed = SIZE_BYTES + size;
        break;
      }
      whole += SIZE_BYTES + size;
    }
    const rest = data.subarray(whole);
    chunks = rest.length > 0 ? [rest] : [];
    buffered = rest.length;
    if (whole > 0) listener(data.subarray(0, whole));
  };
}

/**
 * Ends a connection on which something was asked and nothing has come back for `withinMs`. kafkajs gives up a request that is not
 * answered, and asks again on the same connection, for ever: one that a firewall has forgotten would never be replaced.
 *
 * What counts is the time in which we could have heard something: a process that was stopped gives the answer a chance when it wakes up.
 */
export function destroyWhenUnresponsive(socket: Socket, withinMs: number, lookEveryMs = 1_000): Socket {
  let read = 0;
  let askedThen = 0;
  let silentMs = 0;
  const timer = setInterval(() => {
    if (socket.bytesRead !== read || socket.bytesWritten === askedThen) {
      read = socket.bytesRead;
      askedThen = socket.bytesWritten;
      silentMs = 0;
      return;
    }
    silentMs += lookEveryMs;
    if (silentMs >= withinMs) socket.destroy(new Error(`no answer within ${withinMs} ms`));
  }, lookEveryMs);
  timer.unref();
  return socket.once('close', () => clearInterval(timer));
}
