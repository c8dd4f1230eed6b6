import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { SETTINGS, type Settings, TIMINGS, type Timings } from '#config';
import { type Database, DB1 } from '#postgres';
import { CreateApiKeyHandler, ListApiKeysHandler, RevokeApiKeyHandler, RotateApiKeyHandler } from './api-key.commands.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeyCache, ApiKeys } from './api-keys.js';
import { AuthService, RateLimits } from './auth.service.js';
import { Authenticator } from './authenticator.js';
import { CredentialWatch } from './credential-watch.js';
import { Tokens } from './tokens.js';

/** Collaborators of {@link AuthService}. ApiKeys is undefined in a process without Database 1, Tokens without OIDC_ISSUER. */
const COLLABORATORS: Provider[] = [
  { provide: ApiKeys, useFactory: (db1?: Database) => db1 && new ApiKeys(db1), inject: [{ token: DB1, optional: true }] },
  {
    provide: ApiKeyCache,
    useFactory: (timings: Timings, keys?: ApiKeys) => keys && new ApiKeyCache(keys, timings.auth),
    inject: [TIMINGS, ApiKeys],
  },
  {
    provide: Tokens,
    useFactory: ({ access }: Settings, timings: Timings) => access.oidc && new Tokens(access.oidc, timings.auth),
    inject: [SETTINGS, TIMINGS],
  },
  {
    provide: Authenticator,
    useFactory: (watch: CredentialWatch, keys?: ApiKeys, cache?: ApiKeyCache, tokens?: Tokens) =>
      new Authenticator(keys, cache, tokens, watch),
    inject: [CredentialWatch, ApiKeys, ApiKeyCache, Tokens],
  },
  {
    provide: CredentialWatch,
    useFactory: (timings: Timings, keys?: ApiKeys) => new CredentialWatch(keys, timings.auth),
    inject: [TIMINGS, ApiKeys],
  },
  RateLimits,
];

/** Provides {@link AuthService} to all modules; with the api role also `/access/keys`. */
@Module({})
export class AuthModule {
  static forRoot({ roles }: Settings): DynamicModule {
    const handlers = [CreateApiKeyHandler, RotateApiKeyHandler, RevokeApiKeyHandler, ListApiKeysHandler];
    const api = roles.includes('api');
    return {
      module: AuthModule,
      global: true,
      imports: api ? [CqrsModule] : [],
      controllers: api ? [ApiKeysController] : [],
      providers: [...COLLABORATORS, ...(api ? handlers : []), AuthService],
      exports: [AuthService],
    };
  }
}
