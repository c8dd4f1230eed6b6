import type { FastifyAdapter } from '@nestjs/platform-fastify';
import { accessOf, addressOf, type Caller } from '#http';
import type { AuthService } from './auth.service.js';
import { AccessDenied } from './authenticator.js';

/**
 * Checks every request before its body is read, against the access that its route declares with RequireScope or Public. To be called
 * before routes are registered.
 *
 * Every answer of a route that needs a credential is marked as not to be stored, errors too.
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
    // Answers that need a credential may hold personal data, which no cache may keep. Their ETags still save clients a repetition.
    void reply.header('cache-control', 'no-store');
    const { rawHeaders } = request.raw;
    try {
      const address = addressOf(request) ?? '';
      const counting = auth.authorizeAddress(address);
      if (counting) await counting;
      // An unknown path needs no credential. A route that a plugin registered for itself needs the scope of an administrator.
      if (request.is404) return;
      // The log also names the caller of a request that is refused for its scope or its limit.
      const identified = (caller: Caller): void => void ((request as unknown as { caller: Caller }).caller = caller);
      const remaining = await auth.authorize({ address, rawHeaders }, declared ?? 'admin', identified);
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
