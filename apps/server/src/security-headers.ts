import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import cors from '@fastify/cors';
import type { FastifyAdapter, NestFastifyApplication } from '@nestjs/platform-fastify';
import helmet from 'helmet';
import type { Settings } from '#config';

/** Security headers for browsers. The only page that the service has is Swagger UI. */
export const SECURITY_HEADERS = helmetHeaders();

/** Adds the security headers to every response. */
export function registerSecurityHeaders(adapter: FastifyAdapter): void {
  adapter.getInstance().addHook('onRequest', (_request, reply, done) => {
    void reply.headers(SECURITY_HEADERS);
    done();
  });
}

/** Computes helmet's headers once, because they are equal for all responses. `@fastify/helmet` computes them for each response (ADR 21). */
function helmetHeaders(): Record<string, string> {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  const setHeaders = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
        // Swagger UI has inline styles, and icons as data URLs.
        imgSrc: ["'self'", 'data:'],
        objectSrc: ["'none'"],
        styleSrc: ["'self'", "'unsafe-inline'"],
      },
    },
    frameguard: { action: 'deny' },
    // Only for this host: the service does not decide for its subdomains.
    hsts: { includeSubDomains: false },
  });
  setHeaders(response.req, response, (error) => {
    if (error !== undefined) throw error as Error;
  });
  return response.getHeaders() as Record<string, string>;
}

/** Response headers that a script in a browser may read. */
const EXPOSED_HEADERS = [
  'ETag',
  'Link',
  'Location',
  'Preference-Applied',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'Subscription-Version',
  'WWW-Authenticate',
  'X-Request-Id',
];
const PREFLIGHT_MAX_AGE_S = 600;

/** Allows browsers to call the API from the origins in CORS_ORIGINS, and from no other origin. */
export async function registerCors(app: NestFastifyApplication, { access }: Settings): Promise<void> {
  if (access.corsOrigins.length === 0) return;
  await app.register(cors, {
    origin: [...access.corsOrigins],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: EXPOSED_HEADERS,
    maxAge: PREFLIGHT_MAX_AGE_S,
  });
}
