import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Controller, Get, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { requireScopeDeclarations } from '#auth';
import { readSettings } from '#config';
import { Public, RequireScope } from '#http';
import { bearer, Issuer, makeKey } from '../../harness/credentials.js';
import { ServerProcess } from '../../harness/server-process.js';
import { World } from '../../harness/world.js';

describe('the address to listen on', () => {
  const least = { DB1_HOST: 'x', DB1_USER: 'x', DB1_PASSWORD: '', DB1_DATABASE: 'x', ROLES: 'api' };
  const modeOf = (more: Record<string, string>): string => readSettings({ ...least, ...more }).access.mode;
  const oidc = { OIDC_ISSUER: 'https://login.example.com', OIDC_AUDIENCE: 'us' };

  test.each([{}, { HOST: 'localhost' }, { HOST: '127.0.0.2' }, { HOST: '::1' }])(
    'open access is allowed on a loopback address: %j',
    (more) => {
      expect(modeOf(more)).toBe('open');
      expect(modeOf({ ...more, ACCESS: 'required' })).toBe('required');
      expect(modeOf({ ...more, ...oidc })).toBe('required');
    },
  );

  test.each(['0.0.0.0', '::', '10.1.2.3', 'db.example.com', '127.example.com', 'localhost.example.com'])(
    'open access is refused on %s',
    (HOST) => {
      expect(() => modeOf({ HOST })).toThrow(/HOST is .* and access to it is not configured\. Set ACCESS=required/);
      expect(() => modeOf({ HOST, ACCESS: 'open' })).toThrow(/access to it is not configured/);
      expect(() => modeOf({ HOST, ACCESS: 'open', ...oidc })).toThrow(/access to it is not configured/);
      expect(modeOf({ HOST, ACCESS: 'required' })).toBe('required');
      expect(modeOf({ HOST, ...oidc })).toBe('required');
    },
  );

  test('a process without the api role starts on any address, and refuses requests without a credential', () => {
    expect(modeOf({ HOST: '0.0.0.0', ROLES: 'sync', KAFKA_SERVER: 'x:1' })).toBe('required');
  });

  test.each([
    [{ OIDC_ISSUER: 'http://login.example.com', OIDC_AUDIENCE: 'us' }, 'OIDC_ISSUER must be an https URL'],
    [{ OIDC_ISSUER: 'https://login.example.com' }, 'OIDC_AUDIENCE is required'],
    [{ ...oidc, OIDC_JWKS_URI: 'file:///etc/keys' }, 'OIDC_JWKS_URI must be an https URL'],
    [{ TRUSTED_PROXIES: '10.0.0.0/8,anybody' }, 'TRUSTED_PROXIES must list addresses or CIDR blocks, comma-separated, but has "anybody"'],
    [{ ...oidc, OIDC_MAX_TOKEN_AGE: '0' }, 'OIDC_MAX_TOKEN_AGE must be a whole number from 1 to 31536000'],
    [{ TRUSTED_PROXIES: '10.0.0.0/33' }, 'TRUSTED_PROXIES must list'],
    [{ CORS_ORIGINS: '*' }, 'CORS_ORIGINS must list origins'],
    [{ CORS_ORIGINS: 'https://app.example.com/' }, 'CORS_ORIGINS must list origins'],
    [{ ACCESS: 'none' }, 'ACCESS must be one of open, required'],
  ])('%j is refused', (more, why) => expect(() => modeOf(more)).toThrow(why));
});

describe('a route', () => {
  @Controller('things')
  class Undeclared {
    @Get()
    @RequireScope('read')
    list(): string {
      return 'declared';
    }

    @Get('forgotten')
    forgotten(): string {
      return 'the callers that may call it';
    }
  }
  @Controller('things')
  @Public()
  class Declared {
    @Get('by-its-class')
    inherited(): string {
      return '';
    }
  }
  @Module({ controllers: [Declared] })
  class Good {}
  @Module({ controllers: [Declared, Undeclared] })
  class Bad {}

  async function boot(module: Type): Promise<NestFastifyApplication> {
    const adapter = new FastifyAdapter();
    const app = await NestFactory.create<NestFastifyApplication>(module, adapter, { logger: false, abortOnError: false });
    requireScopeDeclarations(adapter, []);
    return app.init();
  }

  test('without a declared access prevents the start', async () => {
    await expect(boot(Bad)).rejects.toThrow('The route GET /things/forgotten does not declare its access, so the server does not start');
  });

  test('may be declared by its controller', async () => {
    const app = await boot(Good);
    await app.close();
    expect(app.getHttpAdapter().getInstance().hasRoute({ method: 'GET', url: '/things/by-its-class' })).toBe(true);
  });
});

describe('the server', () => {
  let world: World;
  let issuer: Issuer;

  beforeAll(async () => {
    issuer = await Issuer.start();
    world = await World.started({ env: { ACCESS: 'required', CORS_ORIGINS: 'https://app.example.com' }, servers: [['api']] });
  });
  afterAll(async () => {
    await world.close();
    await issuer.stop();
  });

  test('logs in one line that access is open, and does not start with open access on an address that others can reach', async () => {
    const environment = { ...world.environment(['api']), LOG_LEVEL: 'warn', ACCESS: 'open' };
    const open = await ServerProcess.start(environment);
    expect(await open.signal('SIGTERM')).toBe(0);
    expect(
      open.output
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([expect.objectContaining({ level: 'warn', context: 'access', msg: expect.stringContaining('Access is open') })]);
    // A process that can not read its settings ends with code 1: test/process/server-process.spec.ts.
    expect(() => readSettings({ ...environment, HOST: '0.0.0.0' })).toThrow('HOST is "0.0.0.0"');
  });

  test('accepts tokens but no keys when it has no Database 1', async () => {
    const beside = world.beside({ servers: [['replica']], env: issuer.environment });
    await beside.start();
    try {
      const statusFor = async (credential: string): Promise<number> =>
        (await fetch(`${beside.url}/dead-letters/1`, { headers: bearer(credential) })).status;
      await beside.ready();
      expect(await statusFor(await issuer.token({ scope: 'operate' }))).toBe(404);
      expect(await statusFor(await makeKey(world.db1, 'operate'))).toBe(401);
    } finally {
      await beside.stop();
    }
  });

  test('refuses every credential when it has neither Database 1 nor an issuer, and is healthy', async () => {
    const beside = world.beside({ servers: [['replica']], env: { HOST: '0.0.0.0', ACCESS: '' } });
    await beside.start();
    try {
      const url = beside.url.replace('0.0.0.0', '127.0.0.1');
      expect((await fetch(`${url}/health/live`)).status).toBe(200);
      expect((await fetch(`${url}/metrics`)).status).toBe(200);
      expect((await fetch(`${url}/dead-letters`, { headers: bearer(await makeKey(world.db1, 'operate')) })).status).toBe(401);
    } finally {
      await beside.stop();
    }
  });

  test('sends security headers, also with refusals, and lets Swagger UI work', async () => {
    const requests = [
      ...['/docs', '/subscriptions', '/health/live', '/%ff'].map((path) => [path, 'GET']),
      ['/health/live', 'PUT'],
    ] as const;
    for (const [path, method] of requests) {
      const { headers } = await fetch(world.url + path, { method });
      expect(Object.fromEntries(headers)).toMatchObject({
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        'strict-transport-security': 'max-age=31536000',
        'content-security-policy': expect.stringMatching(/^default-src 'self';.*frame-ancestors 'none'/),
      });
      expect(headers.get('content-security-policy')).not.toContain('upgrade-insecure-requests');
    }
    // default-src 'self' runs no inline script, so the page must not have any.
    const page = await (await fetch(`${world.url}/docs`)).text();
    expect(page).not.toMatch(/<script(?![^>]*\bsrc=)[^>]*>/);
    const document = (await (await fetch(`${world.url}/docs-json`)).json()) as { components: { securitySchemes: Record<string, unknown> } };
    expect(document.components.securitySchemes).toMatchObject({
      api_key: { type: 'http', scheme: 'bearer' },
      oidc_token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
    });
  });

  test('allows cross-origin requests from the configured origins only', async () => {
    const preflight = (origin: string): Promise<Response> =>
      fetch(`${world.url}/subscriptions/a@example.com`, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'PATCH', 'access-control-request-headers': 'authorization,if-match' },
      });
    const allowed = await preflight('https://app.example.com');
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://app.example.com');
    expect(allowed.headers.get('access-control-allow-methods')).toContain('PATCH');
    expect((await preflight('https://evil.example.com')).headers.get('access-control-allow-origin')).toBeNull();
    const refused = await fetch(`${world.url}/subscriptions`, { headers: { origin: 'https://app.example.com' } });
    expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([401, 'https://app.example.com']);
  });

  test('answers 503 to a key that it cannot look up', async () => {
    const away = world.beside({ servers: [['api']], env: { ACCESS: 'required', DB1_PORT: '1' } });
    await away.start();
    try {
      const response = await fetch(`${away.url}/subscriptions`, { headers: bearer(await makeKey(world.db1, 'read')) });
      expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
      expect((await fetch(`${away.url}/subscriptions`)).status).toBe(401);
    } finally {
      await away.stop();
    }
  });
});
