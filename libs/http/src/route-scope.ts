import { applyDecorators, SetMetadata } from '@nestjs/common';
import { METHOD_METADATA } from '@nestjs/common/constants.js';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiBearerAuth, ApiExtension } from '@nestjs/swagger';
import { ApiProblems } from './openapi-decorators.js';

const DECLARED = 'subscription-sync:access';

/**
 * Scopes that a credential can have. No scope includes another one. Only a caller with `export` learns emails that it did not know (ADR 34).
 *
 * - `read`: read one subscription by its email, its history and its replication status.
 * - `write`, `delete`: change or delete subscriptions.
 * - `export`: read many subscriptions: lists, events and the export.
 * - `operate`: dead letters and reconciliation. Their emails and bytes are shown only to a caller that also has `export`.
 * - `erase`: erase everything that is kept about an email.
 * - `admin`: API keys.
 */
export const SCOPES = ['read', 'write', 'delete', 'export', 'operate', 'erase', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** Access rule of a route: the scope that it requires, or `public` for routes that need no credential. */
export type RouteAccess = Scope | 'public';

/** The client that sent a request, as the access check identified it. */
export interface Caller {
  /** Recorded with each change: `key:billing-job:5f0c6a0e6f1d4b0e`, `oidc:` and the token's `sub` (a hash where that is an email), or `api` when access is open. */
  readonly actor: string;
  readonly scopes: ReadonlySet<Scope>;
  /** Calls `onEnd` with an error when the credential ends, until the returned function is called. Undefined while access is open. */
  readonly watch?: (onEnd: (reason: Error) => void) => () => void;
}

/** Names of the security schemes in the OpenAPI document. */
export const SECURITY_SCHEMES = ['api_key', 'oidc_token'] as const;

/**
 * Requires a scope for a route, or for all routes of a controller that do not declare a scope of their own. Also documents the errors that any
 * such request may get: its headers may be invalid, and its credential cannot be checked while Database 1 does not respond.
 */
export function RequireScope(scope: Scope): MethodDecorator & ClassDecorator {
  return declare(scope, () => [
    ...SECURITY_SCHEMES.map((scheme) => ApiBearerAuth(scheme)),
    ApiExtension('x-required-scope', scope),
    ApiProblems(400, 401, 403, 429, 500, 503),
  ]);
}

/** Declares that a route, or all routes of a controller, need no credential. */
export function Public(): MethodDecorator & ClassDecorator {
  return declare('public', () => []);
}

/** Reads the access rule from a route's Fastify `config`. Undefined for a route that declares none. */
export function accessOf(config: unknown): RouteAccess | undefined {
  return (config as { access?: RouteAccess } | undefined)?.access;
}

/** Returns the actor to record for a request. */
export function actorOf(request: object): string {
  return callerOf(request).actor;
}

/** Whether the caller of a request has the scope `export`. Without it, other people's emails are masked or left out of answers. */
export function mayExport(request: object): boolean {
  return callerOf(request).scopes.has('export');
}

/** Returns the caller of a request. @throws Error when the access check did not run, which is a defect. */
export function callerOf(request: object): Caller {
  const { caller } = request as { caller?: Caller | null };
  if (!caller) throw new Error('The request reached its handler without an access check');
  return caller;
}

/** Creates the decorators again for each route, because ApiBearerAuth's decorator keeps state from the route before. */
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
