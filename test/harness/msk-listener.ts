import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { createServer, type Server } from 'node:tls';
import type { Certificate } from './certificates.js';

/** Values of the Kafka protocol. */
const API = { handshake: 17, versions: 18, authenticate: 36 } as const;
const ERRORS = { unsupportedMechanism: 33, authenticationFailed: 58 } as const;
const SIZE_BYTES = 4;

/**
 * A TLS listener in front of a broker that takes logins as Amazon MSK's IAM listener does: by the mechanism OAUTHBEARER, with a token that is no JSON
 * web token, which the validators of Apache Kafka refuse. It speaks SaslHandshake and SaslAuthenticate itself, and forwards what comes
 * after a login. A request without a login, and one after the session's end, ends the connection.
 */
export class MskListener {
  /** The bytes that clients have sent, one element for each SaslAuthenticate. */
  readonly logins: string[] = [];
  /** Number of connections that clients have opened. */
  connections = 0;
  /** Number of connections that were ended because their sessions had. */
  expired = 0;
  /** Returns why a login is refused, or undefined to accept it. */
  refuse: (login: string) => string | undefined = () => undefined;
  mechanism = 'OAUTHBEARER';
  /** Time (ms) for which a session lasts. 0: for ever. */
  sessionLifetimeMs = 0;
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly brokerPort: number,
  ) {}

  /** Listens on 127.0.0.1. */
  static async start({ certificate, key }: Certificate, port: number, brokerPort: number): Promise<MskListener> {
    const server = createServer({ cert: certificate, key });
    const listener = new MskListener(server, brokerPort);
    server.on('secureConnection', (socket) => listener.serve(socket));
    await once(server.listen(port, '127.0.0.1'), 'listening');
    return listener;
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Ends all connections. */
  disconnect(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  close(): void {
    this.server.close();
    this.disconnect();
  }

  private serve(client: Socket): void {
    const broker = connect(this.brokerPort, '127.0.0.1');
    this.connections += 1;
    this.sockets.add(client);
    for (const [socket, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      socket.setNoDelay(true).on('error', () => undefined);
      socket.on('close', () => other.destroy());
    }
    client.on('close', () => this.sockets.delete(client));
    broker.on('data', (data: Buffer) => client.write(data));
    let loggedInAt: number | undefined;
    let received = Buffer.alloc(0);
    client.on('data', (data: Buffer) => {
      received = Buffer.concat([received, data]);
      while (received.length >= SIZE_BYTES && received.length >= SIZE_BYTES + received.readInt32BE(0)) {
        const end = SIZE_BYTES + received.readInt32BE(0);
        const frame = received.subarray(0, end);
        received = received.subarray(end);
        const request = parse(frame);
        if (request.api === API.handshake) client.write(this.answerHandshake(request));
        else if (request.api === API.authenticate) {
          const { response, isAccepted } = this.answerLogin(request);
          if (isAccepted) loggedInAt = Date.now();
          client.write(response);
        } else if (request.api === API.versions || this.isLasting(loggedInAt)) broker.write(frame);
        else client.destroy();
      }
    });
  }

  private isLasting(loggedInAt: number | undefined): boolean {
    if (loggedInAt === undefined) return false;
    const lasts = this.sessionLifetimeMs === 0 || Date.now() < loggedInAt + this.sessionLifetimeMs;
    if (!lasts) this.expired += 1;
    return lasts;
  }

  private answerHandshake({ correlation, body }: Request): Buffer {
    const error = body.subarray(2).toString() === this.mechanism ? 0 : ERRORS.unsupportedMechanism;
    return frameOf([int(4, correlation), int(2, error), int(4, 1), text(this.mechanism)]);
  }

  private answerLogin({ correlation, body }: Request): { response: Buffer; isAccepted: boolean } {
    const login = body.subarray(SIZE_BYTES).toString();
    this.logins.push(login);
    const why = this.refuse(login);
    const result = why === undefined ? [int(2, 0), int(2, -1)] : [int(2, ERRORS.authenticationFailed), text(why)];
    const lifetime = Buffer.alloc(8);
    lifetime.writeBigInt64BE(BigInt(this.sessionLifetimeMs));
    return { response: frameOf([int(4, correlation), ...result, int(4, 0), lifetime]), isAccepted: why === undefined };
  }
}

interface Request {
  readonly api: number;
  readonly correlation: number;
  readonly body: Buffer;
}

function parse(frame: Buffer): Request {
  const afterClient = SIZE_BYTES + 10 + Math.max(0, frame.readInt16BE(SIZE_BYTES + 8));
  return { api: frame.readInt16BE(SIZE_BYTES), correlation: frame.readInt32BE(SIZE_BYTES + 4), body: frame.subarray(afterClient) };
}

function frameOf(parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([int(SIZE_BYTES, content.length), content]);
}

function int(bytes: number, value: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  buffer.writeIntBE(value, 0, bytes);
  return buffer;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([int(2, bytes.length), bytes]);
}
