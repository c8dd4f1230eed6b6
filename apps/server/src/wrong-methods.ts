import type { FastifyAdapter } from '@nestjs/platform-fastify';
import { problem, PROBLEM_TYPE } from '#http';

/**
 * A path that has other methods is 405 with `Allow`, not 404. So is one with a name of its own that a pattern would take, too: PUT of
 * `/subscriptions/import` is not the subscription of an email "import".
 */
export function answerWrongMethods(adapter: FastifyAdapter): void {
  const fastify = adapter.getInstance();
  const routes = new Map<string, Set<string>>();
  fastify.addHook('onRoute', ({ url, method }) => {
    const methods = routes.get(url) ?? new Set();
    for (const name of [method].flat()) methods.add(name);
    routes.set(url, methods);
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    const allowed = allowedInstead(routes, request);
    if (allowed.length === 0) {
      done();
      return;
    }
    const detail = `This path has no ${request.method}`;
    void reply.code(405).header('allow', allowed.join(', ')).header('content-type', PROBLEM_TYPE);
    void reply.send(JSON.stringify(problem('method-not-allowed', detail, { request_id: request.id })));
  });
}

type Routes = ReadonlyMap<string, ReadonlySet<string>>;

/** None: the request goes on, to its route or to 404. A preflight is for the CORS plugin, where there is one. */
function allowedInstead(routes: Routes, { method, url, is404 }: { method: string; url: string; is404: boolean }): string[] {
  const end = url.indexOf('?');
  const path = end < 0 ? url : url.slice(0, end);
  const named = routes.get(path);
  if (!named) return is404 ? methodsAt(routes, path) : [];
  return named.has(method) || (method === 'OPTIONS' && !is404) ? [] : [...named].sort();
}

function methodsAt(routes: Routes, url: string): string[] {
  const path = segmentsOf(url);
  const methods = [...routes].filter(([pattern]) => matches(segmentsOf(pattern), path)).flatMap(([, names]) => [...names]);
  return [...new Set(methods)].sort();
}

function segmentsOf(path: string): string[] {
  return path.split('/').slice(1);
}

/** Routes that end in `*` serve files: a path under them is one that is not there. */
function matches(pattern: readonly string[], path: readonly string[]): boolean {
  return pattern.length === path.length && pattern.every((part, i) => part === path[i] || (part.startsWith(':') && path[i] !== ''));
}
