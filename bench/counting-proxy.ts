import { connect, createServer, type AddressInfo } from 'node:net';

export interface CountingProxy {
  readonly port: number;
  /** Number of bytes that the server has sent. */
  bytes: () => number;
  /** Number of bytes that the server has received. */
  bytesToServer: () => number;
  close: () => void;
}

/** Starts a TCP proxy to a server that counts the bytes in both directions. */
export async function countingProxy(target: number): Promise<CountingProxy> {
  let [bytes, bytesToServer] = [0, 0];
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    for (const socket of [near, far]) socket.setNoDelay(true);
    near.on('data', (chunk) => (bytesToServer += chunk.length)).pipe(far);
    far.on('data', (chunk) => (bytes += chunk.length)).pipe(near);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const)
      one.on('error', () => other.destroy()).on('close', () => other.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { port, bytes: () => bytes, bytesToServer: () => bytesToServer, close: () => server.close() };
}
