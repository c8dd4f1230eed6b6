import type { Socket } from 'node:net';

/** Size (bytes) of the length prefix of a response, which is also the size of the correlation id after it. */
const SIZE_BYTES = 4;
/** Maximum size (bytes) of a response: a broker refuses requests, and with them records, above 100 MB. */
const MAX_RESPONSE_BYTES = 256 * 1024 * 1024;

/**
 * Passes only complete responses to kafkajs. In the Kafka protocol each response is preceded by its size (int32, big endian). When a
 * connection ends, kafkajs keeps the part of a response that it has, and takes the first bytes of the next connection for the rest: it
 * then reads sizes from the middle of a response and throws where nothing catches it, which ended the process.
 */
export function frameResponses(socket: Socket): Socket {
  const on = socket.on.bind(socket) as (event: string, listener: (...args: never[]) => void) => Socket;
  socket.on = ((event: string, listener: (...args: never[]) => void): Socket =>
    on(event, event === 'data' ? withCompleteResponses(listener as (data: Buffer) => void, socket) : listener)) as Socket['on'];
  return socket;
}

function withCompleteResponses(listener: (data: Buffer) => void, socket: Socket): (chunk: Buffer) => void {
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
      complete += SIZE_BYTES + size;
    }
    const rest = data.subarray(complete);
    chunks = rest.length > 0 ? [rest] : [];
    buffered = rest.length;
    if (complete > 0) listener(data.subarray(0, complete));
  };
}

/**
 * Closes a connection on which a request was sent and nothing has come back for `timeoutMs`. When a request times out, kafkajs sends
 * it again on the same connection, for ever: a connection that a firewall has dropped would never be replaced.
 *
 * Only time in which this process was running counts: a process that was suspended first reads what has arrived meanwhile.
 */
export function destroyWhenUnresponsive(socket: Socket, timeoutMs: number): Socket {
  const pollMs = Math.min(1_000, timeoutMs / 10);
  let read = 0;
  let writtenAtLastRead = 0;
  let silentMs = 0;
  const timer = setInterval(() => {
    if (socket.bytesRead !== read || socket.bytesWritten === writtenAtLastRead) {
      read = socket.bytesRead;
      writtenAtLastRead = socket.bytesWritten;
      silentMs = 0;
      return;
    }
    silentMs += pollMs;
    if (silentMs >= timeoutMs) socket.destroy(new Error(`no answer within ${timeoutMs} ms`));
  }, pollMs);
  timer.unref();
  return socket.once('close', () => clearInterval(timer));
}
