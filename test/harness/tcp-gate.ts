import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/**
 * A way to a server that can be shut: connections end, new ones are refused. Opened again it has the same port. It can also
 * swallow what is sent, as a network does that lost its way.
 */
export class TcpGate {
  private server: Server | undefined;
  private readonly sockets = new Set<Socket>();
  private swallowing = false;

  private constructor(
    private readonly target: { readonly host: string; readonly port: number },
    public port: number,
  ) {}

  /** Shut, on a port of its own. */
  static async to(target: { readonly host: string; readonly port: number }): Promise<TcpGate> {
    const gate = new TcpGate(target, 0);
    await gate.open();
    gate.shut();
    return gate;
  }

  async open(): Promise<void> {
    const server = createServer((near) => {
      // Accepted just before it was shut.
      if (!server.listening) return void near.destroy();
      const far = connect(this.target);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.sockets.add(socket);
        socket.setNoDelay(true);
        if (this.swallowing) socket.resume();
        else socket.pipe(other);
        socket.on('error', () => other.destroy()).on('close', () => this.sockets.delete(socket));
      }
    });
    this.server = server;
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
  }

  shut(): void {
    this.server?.close();
    for (const socket of this.sockets) socket.destroy();
  }

  /** Connections stay open, new ones too, but nothing passes any more. */
  swallow(): void {
    this.swallowing = true;
    for (const socket of this.sockets) socket.unpipe().resume();
  }

  /** Lets new connections pass. Those that were swallowed stay silent. */
  passAgain(): void {
    this.swallowing = false;
  }
}
