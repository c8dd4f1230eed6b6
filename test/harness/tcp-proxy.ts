import { connect, createServer, type Server, type Socket } from 'node:net';
import { pickFreePort } from '../../apps/standalone/src/plan.js';

/** A behaviour of the proxy towards connections. */
export type Mode =
  | { readonly kind: 'pass' }
  /** New connections are refused, and existing ones end. */
  | { readonly kind: 'refuse' }
  /**
   * Connections are accepted, but neither data nor ends are forwarded. When the mode is over, connections that lost bytes are reset.
   * With `forgets`, the client is not notified even then: its connections stay silent for ever, as behind a firewall that has lost its
   * state.
   */
  | { readonly kind: 'black-hole'; readonly forgets?: boolean }
  /** Every connection, old or new, gets an RST. */
  | { readonly kind: 'reset' }
  /** Each chunk arrives `ms` later, in order. */
  | { readonly kind: 'latency'; readonly ms: number }
  /** One direction of every connection is ended by a FIN, and the other continues. */
  | { readonly kind: 'half-close'; readonly towards: 'server' | 'client' }
  /** Every connection ends after `afterBytes` more bytes, both directions together. */
  | { readonly kind: 'cut'; readonly afterBytes: number };

export interface Target {
  readonly host: string;
  readonly port: number;
}

const PASS: Mode = { kind: 'pass' };

/** A TCP proxy to one server that can disturb its connections. It keeps its port in every mode. */
export class TcpProxy {
  private server: Server | undefined;
  private mode: Mode = { kind: 'refuse' };
  private readonly connections = new Set<Connection>();

  private constructor(
    private readonly target: Target,
    readonly port: number,
  ) {}

  /**
   * Starts a proxy on its own port. The server need not be running yet. The system would give it a port that an outgoing connection may take
   * while the proxy refuses connections.
   */
  static async to(target: Target, mode: Mode = PASS): Promise<TcpProxy> {
    const proxy = new TcpProxy(target, await pickFreePort());
    await proxy.set(mode);
    return proxy;
  }

  /** Changes the mode of existing and new connections. */
  async set(mode: Mode): Promise<void> {
    this.mode = mode;
    if (mode.kind !== 'refuse') await this.listen();
    else this.server?.close();
    for (const connection of [...this.connections]) connection.enter(mode);
  }

  /** Makes all present connections silent for ever, as a firewall does that has lost its state. New ones work. */
  forget(): void {
    for (const connection of this.connections) connection.forget();
  }

  async close(): Promise<void> {
    await this.set({ kind: 'refuse' });
  }

  private async listen(): Promise<void> {
    if (this.server?.listening) return;
    const server = createServer({ allowHalfOpen: true }, (near) => {
      // The connection was accepted just before the listener was closed.
      if (this.mode.kind === 'refuse') return void near.destroy();
      const connection = new Connection(near, this.target, this.mode);
      this.connections.add(connection);
      connection.onEnd = () => this.connections.delete(connection);
      connection.enter(this.mode);
    });
    this.server = server;
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(this.port, '127.0.0.1', resolve));
  }
}

/** A client's connection, and the proxy's connection to the server for it. */
class Connection {
  onEnd: () => void = () => undefined;
  private readonly far: Socket;
  private readonly up: Lane;
  private readonly down: Lane;
  private lostBytes = false;
  private bytesLeft = Infinity;

  constructor(
    private readonly near: Socket,
    target: Target,
    private mode: Mode,
  ) {
    this.far = connect({ ...target, allowHalfOpen: true });
    this.up = this.lane(near, this.far);
    this.down = this.lane(this.far, near);
    for (const socket of [near, this.far]) socket.setNoDelay(true).on('error', () => undefined);
    near.on('close', () => this.closed(this.up));
    this.far.on('close', () => this.closed(this.down));
  }

  enter(mode: Mode): void {
    const before = this.mode;
    this.mode = mode;
    this.bytesLeft = mode.kind === 'cut' ? mode.afterBytes : Infinity;
    if (before.kind === 'black-hole' && mode.kind !== 'black-hole' && this.lostBytes) {
      this.far.resetAndDestroy();
      if (!before.forgets) this.near.resetAndDestroy();
      return;
    }
    if (mode.kind === 'refuse') this.destroy();
    if (mode.kind === 'reset') this.reset();
    if (mode.kind === 'half-close') (mode.towards === 'server' ? this.up : this.down).finish();
  }

  forget(): void {
    this.lostBytes = true;
  }

  private lane(from: Socket, to: Socket): Lane {
    const lane = new Lane(from, to);
    from.on('data', (chunk: Buffer) => this.carry(lane, chunk));
    from.on('end', () => {
      if (this.isSilent()) this.lostBytes = true;
      else lane.finish();
    });
    return lane;
  }

  private carry(lane: Lane, chunk: Buffer): void {
    if (this.isSilent()) {
      this.lostBytes = true;
      return;
    }
    const part = chunk.subarray(0, this.bytesLeft);
    this.bytesLeft -= part.length;
    lane.send(part, this.mode.kind === 'latency' ? this.mode.ms : 0);
    if (this.bytesLeft === 0) lane.afterwards(() => this.destroy());
  }

  /** Returns whether nothing is forwarded, as in a black hole and after one that forgot this connection. */
  private isSilent(): boolean {
    return this.mode.kind === 'black-hole' || this.lostBytes;
  }

  /** Handles the close of one side: data that was received from it is still forwarded. */
  private closed(lane: Lane): void {
    if (this.near.closed && this.far.closed) this.onEnd();
    else if (this.isSilent()) this.lostBytes = true;
    else lane.close();
  }

  private reset(): void {
    this.near.resetAndDestroy();
    this.far.resetAndDestroy();
  }

  private destroy(): void {
    this.near.destroy();
    this.far.destroy();
  }
}

/** One direction of a connection: it keeps the order, and a slow reader slows the writer down. */
class Lane {
  /** Resolves when everything received so far has been forwarded. */
  private tail: Promise<void> = Promise.resolve();
  private waiting = 0;
  private finished = false;

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
  ) {}

  send(chunk: Buffer, delayMs: number): void {
    if (this.finished) return;
    const due = Date.now() + delayMs;
    if (this.waiting === 0 && delayMs === 0) this.write(chunk);
    else this.queue(due, () => this.write(chunk));
  }

  /** Handles the end of the source: the target ends once everything is forwarded. */
  finish(): void {
    if (this.finished) return;
    this.finished = true;
    this.afterwards(() => void this.to.end());
  }

  /** Handles the close of the source: the target is destroyed once everything is forwarded. */
  close(): void {
    this.afterwards(() => this.to.destroySoon());
  }

  /** Calls `work` once everything received so far has been forwarded. */
  afterwards(work: () => void): void {
    if (this.waiting === 0) work();
    else this.queue(0, work);
  }

  private queue(due: number, work: () => void): void {
    this.waiting += 1;
    this.tail = this.tail.then(async () => {
      const ms = due - Date.now();
      if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
      this.waiting -= 1;
      work();
    });
  }

  private write(chunk: Buffer): void {
    if (this.to.destroyed || this.to.writableEnded) return;
    if (this.to.write(chunk)) return;
    this.from.pause();
    this.to.once('drain', () => this.from.resume());
  }
}
