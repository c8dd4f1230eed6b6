import type { FastifyAdapter } from '@nestjs/platform-fastify';
import type { GracefulShutdown } from '#observability';

/**
 * Ends the HTTP interface as a step of the process's shutdown.
 *
 * - From the announcement on, each response ends its connection, so that a client with a connection pool connects to another process.
 * - Then the listener closes, the requests in progress are answered, and all other connections are closed. Node's closeIdleConnections
 *   would keep a connection on which nothing was ever sent (a browser's, a TCP probe's), and the server would wait for it forever.
 */
export function drainConnections(adapter: FastifyAdapter, shutdown: GracefulShutdown): void {
  const fastify = adapter.getInstance();
  let inFlight = 0;
  let onLastResponse = (): void => undefined;

  const onClose = (): void => {
    inFlight -= 1;
    if (inFlight === 0) onLastResponse();
  };

  fastify.addHook('onRequest', (_request, reply, done) => {
    inFlight += 1;
    // Emitted also when the client disconnects before it has the response.
    reply.raw.once('close', onClose);
    done();
  });
  fastify.addHook('onSend', (_request, reply, payload, done) => {
    if (shutdown.stopping) void reply.header('connection', 'close');
    done(null, payload);
  });

  const stop = async (): Promise<void> => {
    const { server } = fastify;
    if (!server.listening) return;
    const closed = new Promise((resolve) => server.close(resolve));
    if (inFlight > 0) await new Promise<void>((resolve) => (onLastResponse = resolve));
    server.closeAllConnections();
    await closed;
  };
  shutdown.register({ name: 'answering requests', stop });
}
