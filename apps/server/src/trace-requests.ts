import type { FastifyAdapter } from '@nestjs/platform-fastify';
import type { RequestSpan, Tracing } from '#observability';

/** Routes whose requests are neither logged nor traced: probes, scrapes and Swagger UI. */
const UNOBSERVED_ROUTES = ['/health', '/metrics', '/docs'];

/** Whether requests of a route are logged and traced. */
export function isObserved(route: string | undefined): boolean {
  return route === undefined || !UNOBSERVED_ROUTES.some((prefix) => route.startsWith(prefix));
}

/** The members of a request that {@link registerRequestSpans} sets. */
interface Traced {
  requestSpan?: RequestSpan | undefined;
  traceparent?: string | undefined;
}

/**
 * Makes a span for each request, from its head to the end of its response. The request carries the span's context, which is recorded with the changes
 * that it makes.
 */
export function registerRequestSpans(adapter: FastifyAdapter, tracing: Tracing): void {
  const fastify = adapter.getInstance();
  fastify.decorateRequest('requestSpan', undefined);
  fastify.decorateRequest('traceparent', undefined);
  fastify.addHook('onRequest', (request, _reply, done) => {
    if (isObserved(request.routeOptions.url)) {
      const requestSpan = tracing.startRequest(request.method, request.headers);
      Object.assign(request, { requestSpan, traceparent: requestSpan.traceparent } satisfies Traced);
    }
    done();
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    (request as Traced).requestSpan?.end(request.routeOptions.url, reply.statusCode);
    done();
  });
}

/** Returns the ids of a request's span for its line in the log. */
export function loggedTrace(request: object): RequestSpan['logged'] | undefined {
  return (request as Traced).requestSpan?.logged;
}
