import type { IncomingMessage } from 'node:http';
import { UnsupportedMediaTypeException } from '@nestjs/common';
import { FORMATS } from './import.js';

/** What of Fastify is needed here. */
interface Fastify {
  addContentTypeParser(
    types: string[],
    parser: (
      request: { readonly routeOptions: { readonly url?: string } },
      payload: IncomingMessage,
      done: (error: Error | null, body?: unknown) => void,
    ) => void,
  ): void;
}

/** Files reach the import's handler unread: no limit, no buffer. Every other route takes JSON alone. */
export function acceptFiles(fastify: Fastify): void {
  fastify.addContentTypeParser(Object.keys(FORMATS), ({ routeOptions }, payload, done) => {
    if (/^\/(subscriptions|subscription_status)\/import$/.test(routeOptions.url ?? '')) done(null, payload);
    else done(Object.assign(new UnsupportedMediaTypeException('Unsupported Media Type'), { statusCode: 415 }));
  });
}
