import type { FastifyAdapter } from '@nestjs/platform-fastify';
import type { Logger } from 'pino';

/** One line a request: its route's pattern, never its path, where emails stand. Probes and scrapes are not worth one. */
export function logRequests(adapter: FastifyAdapter, logger: Logger): void {
  adapter.getInstance().addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? '(none)';
    if (!/^\/(health|metrics|docs)/.test(route)) {
      const ms = Math.round(reply.elapsedTime * 10) / 10;
      logger.info({ context: 'http', request_id: request.id, method: request.method, route, status: reply.statusCode, ms }, 'request');
    }
    done();
  });
}
