import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Deployment } from './deployment.js';
import type { Pod } from './pod.js';

/**
 * Time (ms) for which a Service still sends connections to a pod that has ended to be ready: the endpoints reach the nodes' proxies later. Kubernetes
 * promises nothing; a second is usual.
 */
const PROPAGATION_MS = 2_000;

/**
 * A Service as kube-proxy makes it: each new connection goes to one of the ready pods and stays with it. A pod that is no longer ready gets new
 * connections for a while.
 */
export class Service {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  /** When each pod was last ready. */
  private readonly readyAt = new Map<Pod, number>();
  private next = 0;

  constructor(private readonly deployment: Deployment) {
    this.server = createServer((client) => {
      this.forward(client);
    });
  }

  async listen(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Looks at the pods. Called often. */
  sample(): void {
    for (const pod of this.deployment.readyPods) this.readyAt.set(pod, performance.now());
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private forward(client: Socket): void {
    this.sample();
    const known = [...this.readyAt].filter(([, at]) => performance.now() - at < PROPAGATION_MS).map(([pod]) => pod);
    this.next += 1;
    const pod = known[this.next % known.length];
    if (!pod) {
      client.destroy();
      return;
    }
    const upstream = connect(pod.port, '127.0.0.1');
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.sockets.add(socket);
      socket.setNoDelay(true);
      socket
        .on('error', () => other.destroy())
        .on('close', () => {
          this.sockets.delete(socket);
          other.destroy();
        });
    }
    // The end of one side is passed on, so that a response that is still on its way arrives.
    client.pipe(upstream);
    upstream.pipe(client);
  }
}
