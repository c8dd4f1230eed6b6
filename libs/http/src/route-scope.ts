import { applyDecorators, SetMetadata } from '@nestjs/common';
import { METHOD_METADATA } from '@nestjs/common/constants.js';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiBearerAuth, ApiExtension } from '@nestjs/swagger';
import { ApiProblems } from './openapi-decorators.js';

const DECLARED = 'subscription-sync:access';

/**
 * What a credential may be allowed. `read`: subscriptions and what is known of them. `write`, `delete`: subscriptions. `export`: all of
 * them at once. `operate`: dead letters and reconciliation. `admin`: API keys. None holds another.
 */
export const SCOPES = ['read', 'write', 'delete', 'export', 'operate', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** Who may use a route: whoever has the scope, or everybody. */
export type RouteAccess = Scope | 'public';

/** Who sends a request, as the access check found. */
export interface Caller {
  /** Recorded with what it changes: `key:billing-job:5f0c6a0e6f1d4b0e`, `oidc:` and the token's `sub`, or `api` where access is open. */
  readonly actor: string;
  readonly scopes: ReadonlySet<Scope>;
}

/** Names of the security schemes in the OpenAPI document. */
export const SECURITY_SCHEMES = ['api_key', 'oidc_token'] as const;

/**
 * On a route, or on a controller for all its routes that declare nothing themselves: who calls must have this scope. Documents what any
 * request may be answered then: its headers may be wrong, and its credential can't be checked while Database 1 is away.
 */
export function RequireScope(scope: Scope): MethodDecorator & ClassDecorator {
  return declare(scope, () => [
    ...SECURITY_SCHEMES.map((scheme) => ApiBearerAuth(scheme)),
    ApiExtension('x-required-scope', scope),
    ApiProblems(400, 401, 403, 429, 500, 503),
  ]);
}

/** The same for what everybody may call, without a credential. */
export function Public(): MethodDecorator & ClassDecorator {
  return declare('public', () => []);
}

/** What Fastify knows of a route as its `config`. Undefined for one that declares nothing. */
export function accessOf(config: unknown): RouteAccess | undefined {
  return (config as { access?: RouteAccess } | undefined)?.access;
}

/** The actor to record for a request of a handler's. @throws Error when the access check did not run: a defect. */
export function actorOf(request: object): string {
  const { caller } = request as { caller?: Caller | null };
  if (!caller) throw new Error('The request was let through without a caller');
  return caller.actor;
}

/** Anew for each route: ApiBearerAuth's decorator keeps what it saw at the one before. */
function declare(access: RouteAccess, documentation: () => MethodDecorator[]): MethodDecorator & ClassDecorator {
  const declareRoute: MethodDecorator = (...route) => {
    applyDecorators(RouteConfig({ access }), SetMetadata(DECLARED, access), ...documentation())(...route);
  };
  return (target: object, name?: string | symbol, descriptor?: PropertyDescriptor): void => {
    if (name !== undefined && descriptor) return void declareRoute(target, name, descriptor);
    const { prototype } = target as { prototype: object };
    for (const [method, route] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (typeof route.value !== 'function' || !Reflect.hasMetadata(METHOD_METADATA, route.value as object)) continue;
      if (!Reflect.hasMetadata(DECLARED, route.value as object)) declareRoute(prototype, method, route);
    }
  };
}
