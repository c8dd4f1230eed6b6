import type { FastifyAdapter } from '@nestjs/platform-fastify';
import { accessOf, type Caller } from '#http';
import type { AuthService } from './auth.service.js';
import { AccessDenied } from './authenticator.js';

/**
 * Every route of the server is checked, before its body is read: what was declared with RequireScope or Public is what it asks. To be
 * called before routes are registered.
 *
 * Deny by default: registering a route that declares nothing throws, so that the server does not start. `publicPaths` are those of
 * programs that know nothing of declarations, with all below them.
 */
export function registerAuthHook(adapter: FastifyAdapter, access: AuthService, publicPaths: readonly string[]): void {
  const fastify = adapter.getInstance();
  requireScopeDeclarations(adapter, publicPaths);
  fastify.decorateRequest('caller', null);
  fastify.addHook('onRequest', async (request, reply) => {
    const declared = accessOf(request.routeOptions.config) ?? (isBelow(publicPaths, request.routeOptions.url) ? 'public' : undefined);
    if (declared === 'public') return;
    const { ip } = request;
    const { rawHeaders } = request.raw;
    try {
      const admitting = access.admitAddress({ ip, rawHeaders });
      if (admitting) await admitting;
      // What is not there needs no credential. What a plugin registered for itself is nobody's but the administrator's.
      if (request.is404) return;
      const { caller, remaining } = await access.admit({ ip, rawHeaders }, declared ?? 'admin');
      (request as unknown as { caller: Caller }).caller = caller;
      if (remaining === undefined) return;
      const { name, policy, secondsLeft } = access.perCaller;
      void reply.header('ratelimit-policy', policy).header('ratelimit', `"${name}";r=${remaining};t=${secondsLeft}`);
    } catch (error) {
      if (error instanceof AccessDenied) void reply.headers(error.headers);
      throw error;
    }
  });
}

/** @throws Error, when a route is registered that declares no access. */
export function requireScopeDeclarations(adapter: FastifyAdapter, publicPaths: readonly string[]): void {
  adapter.getInstance().addHook('onRoute', ({ method, url, config }) => {
    if (accessOf(config) !== undefined || isBelow(publicPaths, url)) return;
    throw new Error(
      `The route ${[method].flat().join(', ')} ${url} does not say who may use it, so the server does not start: ` +
        'give it @RequireScope(…) or @Public().',
    );
  });
}

function isBelow(paths: readonly string[], url: string | undefined): boolean {
  return paths.some((path) => url === path || url?.startsWith(`${path}/`));
}
