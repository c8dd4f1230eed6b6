import type { Socket } from 'node:net';

/** Size (bytes) of the length prefix of a response, which is also the size of the correlation id after it. */
const SIZE_BYTES = 4;
/** Maximum size (bytes) of a response: a broker refuses requests, and with them records, above 100 MB. */
const MAX_RESPONSE_BYTES = 256 * 1024 * 1024;

/**
 * Passes only complete responses to kafkajs. In the Kafka protocol each response is preceded by its size (int32, big endian). When a
 * connection ends, kafkajs keeps the part of a response that it has, and takes the first bytes of the next connection for the rest: it
 * then reads sizes from the middle of a response and throws where nothing catches it, which ended the process.
 *
 * @param onResponse is called with the correlation id of each response.
 */
export function frameResponses(socket: Socket, onResponse: (correlationId: number) => void): Socket {
  const on = socket.on.bind(socket) as (event: string, listener: (...args: never[]) => void) => Socket;
  socket.on = ((event: string, listener: (...args: never[]) => void): Socket =>
    on(event, event === 'data' ? withCompleteResponses(listener as (data: Buffer) => void, socket, onResponse) : listener)) as Socket['on'];
  return socket;
}

function withCompleteResponses(
  listener: (data: Buffer) => void,
  socket: Socket,
  onResponse: (correlationId: number) => void,
): (chunk: Buffer) => void {
  let chunks: Buffer[] = [];
  let buffered = 0;
  let needed = SIZE_BYTES;
  return (chunk) => {
    chunks.push(chunk);
    buffered += chunk.length;
    if (buffered < needed) return;
    const data = chunks.length === 1 ? chunk : Buffer.concat(chunks);
    let complete = 0;
    needed = SIZE_BYTES;
    while (complete + SIZE_BYTES <= data.length) {
      const size = data.readInt32BE(complete);
      if (size < SIZE_BYTES || size > MAX_RESPONSE_BYTES)
        return void socket.destroy(new Error(`a response of ${size} bytes is not a Kafka response`));
      if (complete + SIZE_BYTES + size > data.length) {
        needed = SIZE_BYTES + size;
        break;
      }
      onResponse(data.readInt32BE(complete + SIZE_BYTES));
      complete += SIZE_BYTES + size;
    }
    const rest = data.subarray(complete);
    chunks = rest.length > 0 ? [rest] : [];
    buffered = rest.length;
    if (complete > 0) listener(data.subarray(0, complete));
  };
}

/** Positions of fields of a request. */
const API_KEY_AT = SIZE_BYTES;
const CORRELATION_ID_AT = SIZE_BYTES + 4;
/** API keys of the requests that a broker answers late on purpose: those of a group's member wait for the other members. */
const HELD = new Set([11 /* JoinGroup */, 14 /* SyncGroup */]);

/** Times (ms) after which a broker that returns nothing counts as gone. */
export interface UnresponsiveTimeouts {
  readonly timeoutMs: number;
  /** The time while the broker may hold a request of `HELD`. */
  readonly heldTimeoutMs: number;
}

/**
 * Closes a connection on which a request was sent and nothing has come back for `timeoutMs`. When a request times out, kafkajs sends
 * it again on the same connection, for ever: a connection that a firewall has dropped would never be replaced.
 *
 * Only time in which this process was running counts: a process that was suspended first reads what has arrived meanwhile.
 *
 * @returns a function to be called with the correlation id of each response.
 */
export function destroyWhenUnresponsive(
  socket: Socket,
  { timeoutMs, heldTimeoutMs }: UnresponsiveTimeouts,
): (correlationId: number) => void {
  const pollMs = Math.min(1_000, timeoutMs / 10);
  let read = 0;
  let writtenAtLastRead = 0;
  let silentMs = 0;
  /** The correlation id of the last request that the broker may hold. A connection's requests are answered in their order. */
  let held: number | undefined;
  const timer = setInterval(() => {
    if (socket.bytesRead !== read || socket.bytesWritten === writtenAtLastRead) {
      read = socket.bytesRead;
      writtenAtLastRead = socket.bytesWritten;
      silentMs = 0;
      return;
    }
    silentMs += pollMs;
    const limitMs = held === undefined ? timeoutMs : heldTimeoutMs;
    if (silentMs >= limitMs) socket.destroy(new Error(`no answer within ${limitMs} ms`));
  }, pollMs);
  timer.unref();
  socket.once('close', () => clearInterval(timer));

  const write = socket.write.bind(socket) as (request: Buffer, encoding: BufferEncoding) => boolean;
  // kafkajs calls it once for each request.
  const sendRequest = (request: Buffer, encoding: BufferEncoding): boolean => {
    if (request.length >= CORRELATION_ID_AT + 4 && HELD.has(request.readInt16BE(API_KEY_AT))) held = request.readInt32BE(CORRELATION_ID_AT);
    return write(request, encoding);
  };
  socket.write = sendRequest as Socket['write'];
  return (correlationId) => {
    if (correlationId === held) held = undefined;
  };
}
