import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { ISocketFactory } from 'kafkajs';
import type { KafkaSecurity, KafkaTimings, KafkaTls } from '#config';
import { explainEnd, explainFirstBytes, explainSocketError, SettingsProblem } from './connection-errors.js';
import { destroyWhenUnresponsive, frameResponses, type UnresponsiveTimeouts } from './response-framing.js';

const KEEP_ALIVE_MS = 60_000;
/** Size (bytes) of the length prefix of a response. */
const SIZE_BYTES = 4;

/**
 * Returns how kafkajs connects to a broker. kafkajs leaves Nagle's algorithm on, which costs a round trip a tail of 40 ms (p99 39 ms against 8 ms end
 * to end). These sockets also close connections that return nothing for the time of `timeouts`, keep a partial response from outliving its
 * connection, and say which setting to correct where a connection fails because of one.
 */
export function brokerSockets(security: KafkaSecurity, timings: KafkaTimings, timeouts: UnresponsiveTimeouts): ISocketFactory {
  return ({ host, port, onConnect }) => {
    const socket = security.tls
      ? openTls(security.tls, host, port, onConnect, timings.connectTimeoutMs)
      : connect({ host, port }, onConnect);
    socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS);
    return frameResponses(explainFailures(socket, security, `${host}:${port}`), destroyWhenUnresponsive(socket, timeouts));
  };
}

/** Opens a TLS connection. Its files are read each time. The certificate must be valid for the host by which the broker is known. */
function openTls({ ca, certificate }: KafkaTls, host: string, port: number, onConnect: () => void, timeoutMs: number): TLSSocket {
  const socket = connectTls(
    {
      host,
      port,
      // Certificates have no address as their server name, but are checked for it.
      ...(isIP(host) === 0 && { servername: host }),
      ...(ca && { ca: ca() }),
      ...(certificate && { cert: certificate.cert(), key: certificate.key() }),
      // NODE_TLS_REJECT_UNAUTHORIZED does not change it.
      rejectUnauthorized: true,
    },
    onConnect,
  );
  // kafkajs gives up a handshake that takes too long, but leaves the connection open.
  const timer = setTimeout(() => socket.destroy(new Error(`no TLS handshake within ${timeoutMs} ms`)), timeoutMs).unref();
  const stopTimer = (): void => clearTimeout(timer);
  return socket.once('secureConnect', stopTimer).once('close', stopTimer);
}

/** Gives listeners for `error` an error that says which setting to correct, also where the broker merely ends the connection. */
function explainFailures(socket: Socket, security: KafkaSecurity, broker: string): Socket {
  let received = 0;
  let firstResponse = Infinity;
  const on = socket.on.bind(socket) as (event: string, listener: (...args: never[]) => void) => Socket;
  on('data', (chunk: Buffer) => {
    if (received === 0) {
      const why = explainFirstBytes(chunk, security, broker);
      if (why !== undefined) return void socket.destroy(new SettingsProblem(why));
      if (chunk.length >= SIZE_BYTES) firstResponse = SIZE_BYTES + chunk.readInt32BE(0);
    }
    received += chunk.length;
  });
  socket.on = ((event: string, listener: (...args: unknown[]) => void): Socket => {
    if (event === 'error') return on(event, (error: Error) => listener(explainSocketError(error, security, broker)));
    if (event !== 'end') return on(event, listener);
    return on(event, () => {
      const why = received <= firstResponse ? explainEnd(received > 0, security, broker) : undefined;
      if (why === undefined) listener();
      else socket.destroy(new SettingsProblem(why));
    });
  }) as Socket['on'];
  return socket;
}
