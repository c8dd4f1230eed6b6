import type { FastifyAdapter } from '@nestjs/platform-fastify';
import { PROBLEM_TYPE, problem } from '#operations';

/** A path that has other methods is 405 with `Allow`, not 404. Asked only for what no route takes. */
export function answerWrongMethods(adapter: FastifyAdapter): void {
  const fastify = adapter.getInstance();
  const routes = new Map<string, Set<string>>();
  fastify.addHook('onRoute', ({ url, method }) => {
    const methods = routes.get(url) ?? new Set();
    for (const name of [method].flat()) methods.add(name);
    routes.set(url, methods);
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    const allowed = request.is404 ? methodsAt(routes, request.url) : [];
    if (allowed.length === 0) {
      done();
      return;
    }
    const detail = `This path has no ${request.method}`;
    void reply.code(405).header('allow', allowed.join(', ')).header('content-type', PROBLEM_TYPE);
    void reply.send(JSON.stringify(problem('method-not-allowed', detail, { request_id: request.id })));
  });
}

function methodsAt(routes: ReadonlyMap<string, ReadonlySet<string>>, url: string): string[] {
  const path = segmentsOf(url.split('?', 1)[0]!);
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
