import type { ServerResponse } from 'node:http';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { problem, PROBLEM_TYPE, REQUEST_ID_HEADER } from '#http';
import { answerMalformed } from './answer-malformed.js';
import { takeMergePatch } from './merge-patch.js';
import { giveRequestIds } from './request-ids.js';
import { answerWrongMethods } from './wrong-methods.js';

/** Bytes of a request's body. */
const BODY_LIMIT = 64 * 1024;
/** Of a path's email, percent-encoded. */
const MAX_PARAM_LENGTH = 1_024;

/**
 * How long clients may take, ms: for a request's head, and for all of it, which holds for streamed imports, too. A connection that
 * is kept open without a request outlives what load balancers keep it for (60 s by default), so that none sends into one just closed.
 */
const HEADERS_TIMEOUT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 300_000;
const KEEP_ALIVE_MS = 65_000;

/** What Fastify refuses before Nest sees it. Its own messages quote the path, and with it an email. */
const REFUSED: Readonly<Record<number, string>> = {
  400: 'The path is not well-formed: its percent-encoding is no UTF-8',
  414: `A part of the path is longer than ${MAX_PARAM_LENGTH} characters`,
};

/** What of Fastify's reply is needed here. */
interface Reply {
  readonly raw: ServerResponse;
  hijack(): unknown;
}

/** Fastify for Nest, to be created with `bodyParser: false`: bodies are JSON, nothing else (415). */
export function createHttpAdapter(trustedProxies: readonly string[]): FastifyAdapter {
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    http: { headersTimeout: HEADERS_TIMEOUT_MS },
    // X-Forwarded-For is anybody's to write.
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    // finishRequests has answered all by then.
    forceCloseConnections: true,
    frameworkErrors: (error: { statusCode?: number }, { id }: { id: string }, reply: Reply) => {
      const status = error.statusCode ?? 400;
      reply.hijack();
      reply.raw.writeHead(status, { 'content-type': PROBLEM_TYPE, [REQUEST_ID_HEADER]: id });
      reply.raw.end(JSON.stringify(problem(status, REFUSED[status] ?? 'The request is not well-formed', { request_id: id })));
    },
    clientErrorHandler: answerMalformed,
  });
  adapter.getInstance().removeContentTypeParser('text/plain');
  giveRequestIds(adapter);
  takeMergePatch(adapter);
  answerWrongMethods(adapter);
  return adapter;
}
