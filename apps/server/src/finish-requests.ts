import type { FastifyAdapter } from '@nestjs/platform-fastify';
import type { Shutdown } from '#observability';

/**
 * The end of the HTTP interface, as a part of the process's stop.
 *
 * - From the announcement on, each answer ends its connection: a client that keeps connections opens the next one elsewhere.
 * - Then the listener closes, what runs is answered, and all other connections are ended. Node's closeIdleConnections spares one on
 *   which nothing was ever sent (a browser's, a TCP probe's), and the server would wait for it for ever.
 */
export function finishRequests(adapter: FastifyAdapter, shutdown: Shutdown): void {
  const fastify = adapter.getInstance();
  let running = 0;
  let onLastAnswer = (): void => undefined;

  const onClose = (): void => {
    running -= 1;
    if (running === 0) onLastAnswer();
  };

  fastify.addHook('onRequest', (_request, reply, done) => {
    running += 1;
    // Emitted once, also when the client is gone before its answer.
    reply.raw.on('close', onClose);
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
    if (running > 0) await new Promise<void>((resolve) => (onLastAnswer = resolve));
    server.closeAllConnections();
    await closed;
  };
  shutdown.register({ name: 'answering requests', stop });
}
