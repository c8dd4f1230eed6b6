import type { FastifyAdapter } from '@nestjs/platform-fastify';
import { accessOf, type Caller } from '#http';
import type { AuthService } from './auth.service.js';
import { AccessDenied } from './authenticator.js';

/**
 * Checks every request before its body is read, against the access that its route declares with RequireScope or Public. To be called
 * before routes are registered.
 *
 * Denies by default: registering a route without a declaration throws, so that the server does not start. `publicPaths` are paths of
 * plugins that cannot declare anything; everything below them is public, too.
 */
export function registerAuthHook(adapter: FastifyAdapter, auth: AuthService, publicPaths: readonly string[]): void {
  const fastify = adapter.getInstance();
  requireScopeDeclarations(adapter, publicPaths);
  fastify.decorateRequest('caller', null);
  fastify.addHook('onRequest', async (request, reply) => {
    const declared = accessOf(request.routeOptions.config) ?? (isBelow(publicPaths, request.routeOptions.url) ? 'public' : undefined);
    if (declared === 'public') return;
    const { rawHeaders, socket } = request.raw;
    try {
      const address = auth.addressOf(socket.remoteAddress, request.headers['x-forwarded-for']);
      const counting = auth.authorizeAddress(address);
      if (counting) await counting;
      // An unknown path needs no credential. A route that a plugin registered for itself needs the scope of an administrator.
      if (request.is404) return;
      const { caller, remaining } = await auth.authorize({ address, rawHeaders }, declared ?? 'admin');
      (request as unknown as { caller: Caller }).caller = caller;
      if (remaining === undefined) return;
      const { name, policy, secondsLeft } = auth.perCaller;
      void reply.header('ratelimit-policy', policy).header('ratelimit', `"${name}";r=${remaining};t=${secondsLeft}`);
    } catch (error) {
      if (error instanceof AccessDenied) void reply.headers(error.headers);
      throw error;
    }
  });
  // A client may take minutes to send a body, and its credential may end meanwhile.
  fastify.addHook('preValidation', (request, reply, done) => {
    const { caller } = request as unknown as { caller: Caller | null };
    if (caller === null || reply.elapsedTime < auth.recheckAfterMs) {
      done();
      return;
    }
    auth.recheck(request.raw.rawHeaders).then(
      () => done(),
      (error: unknown) => {
        if (error instanceof AccessDenied) void reply.headers(error.headers);
        done(error as Error);
      },
    );
  });
}

/** Makes the registration of a route without a declared access throw an Error. */
export function requireScopeDeclarations(adapter: FastifyAdapter, publicPaths: readonly string[]): void {
  adapter.getInstance().addHook('onRoute', ({ method, url, config }) => {
    if (accessOf(config) !== undefined || isBelow(publicPaths, url)) return;
    throw new Error(
      `The route ${[method].flat().join(', ')} ${url} does not declare its access, so the server does not start: ` +
        'give it @RequireScope(…) or @Public().',
    );
  });
}

function isBelow(paths: readonly string[], url: string | undefined): boolean {
  return paths.some((path) => url === path || url?.startsWith(`${path}/`));
}
