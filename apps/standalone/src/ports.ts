import { createServer } from 'node:net';
import { StandaloneError } from './standalone.error.js';

/** Below every system's range for outgoing connections, so that none of those takes the port between our look and its use. */
const FIRST_PORT = 20_000;
const LAST_PORT = 32_000;

/** Whether something could listen there now. Privileges count: port 80 isn't free to an ordinary user. */
async function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** None of `others`, which are to be used, and are not yet. */
export async function pickFreePort(others: readonly (number | undefined)[] = []): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));
    if (!others.includes(port) && (await isPortFree(port))) return port;
  }
}

/**
 * The port itself, or a free one for 0.
 * @throws StandaloneError when something else listens there. `part` and `variable` name the part and what moves it.
 */
export async function claimPort(port: number, part: string, variable: string, host = '127.0.0.1'): Promise<number> {
  if (port === 0) return pickFreePort();
  if (await isPortFree(port, host)) return port;
  throw new StandaloneError(`${part} needs port ${port}, but it is taken: stop what listens there, or set ${variable} to another port.`);
}
