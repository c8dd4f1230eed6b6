import { randomUUID } from 'node:crypto';
import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { HttpException } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { Logger } from 'pino';
import { problem, PROBLEM_TYPE, REQUEST_ID_HEADER, requestIdOf } from '#http';

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
    clientErrorHandler: handleClientError,
  });
  adapter.getInstance().removeContentTypeParser('text/plain');
  registerRequestIds(adapter);
  registerMergePatchParser(adapter);
  registerMethodNotAllowed(adapter);
  return adapter;
}

const STATUS: Readonly<Record<string, number>> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };
const DETAIL: Readonly<Record<number, string>> = {
  408: 'The request did not arrive in time',
  431: 'The headers are larger than 16 KB',
};

/** What is no HTTP, or never ends: Node hands over the socket, and there is no request. */
function handleClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const status = STATUS[error.code ?? ''] ?? 400;
  const id = randomUUID();
  const body = JSON.stringify(problem(status, DETAIL[status] ?? 'The request is no well-formed HTTP', { request_id: id }));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]!}\r\ncontent-type: ${PROBLEM_TYPE}\r\n${REQUEST_ID_HEADER}: ${id}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

const TYPE = 'application/merge-patch+json';

/** PATCH takes JSON merge patches by their own type (RFC 7396), too. To other methods it is an unknown one. */
function registerMergePatchParser(adapter: FastifyAdapter): void {
  const fastify = adapter.getInstance();
  const parseJson = fastify.getDefaultJsonParser('error', 'error');
  fastify.addContentTypeParser<string>(TYPE, { parseAs: 'string' }, (request, body, done) => {
    if (request.method === 'PATCH') void parseJson(request, body, done);
    else done(new HttpException(`${TYPE} is for PATCH alone`, 415));
  });
}

/** Every request has an id: the caller's where it is well-formed. It is in every answer and in the log. */
function registerRequestIds(adapter: FastifyAdapter): void {
  const fastify = adapter.getInstance();
  fastify.setGenReqId(({ headers }) => requestIdOf(headers[REQUEST_ID_HEADER]));
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.header(REQUEST_ID_HEADER, request.id);
    done();
  });
}

/**
 * A path that has other methods is 405 with `Allow`, not 404. So is one with a name of its own that a pattern would take, too: PUT of
 * `/subscriptions/import` is not the subscription of an email "import".
 */
function registerMethodNotAllowed(adapter: FastifyAdapter): void {
  const fastify = adapter.getInstance();
  const routes = new Map<string, Set<string>>();
  fastify.addHook('onRoute', ({ url, method }) => {
    const methods = routes.get(url) ?? new Set();
    for (const name of [method].flat()) methods.add(name);
    routes.set(url, methods);
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    const allowed = allowedMethods(routes, request);
    if (allowed.length === 0) {
      done();
      return;
    }
    const detail = `This path has no ${request.method}`;
    void reply.code(405).header('allow', allowed.join(', ')).header('content-type', PROBLEM_TYPE);
    void reply.send(JSON.stringify(problem('method-not-allowed', detail, { request_id: request.id })));
  });
}

type Routes = ReadonlyMap<string, ReadonlySet<string>>;

/** None: the request goes on, to its route or to 404. A preflight is for the CORS plugin, where there is one. */
function allowedMethods(routes: Routes, { method, url, is404 }: { method: string; url: string; is404: boolean }): string[] {
  const end = url.indexOf('?');
  const path = end < 0 ? url : url.slice(0, end);
  const named = routes.get(path);
  if (!named) return is404 ? methodsAt(routes, path) : [];
  return named.has(method) || (method === 'OPTIONS' && !is404) ? [] : [...named].sort();
}

function methodsAt(routes: Routes, url: string): string[] {
  const path = segmentsOf(url);
  const methods = [...routes].filter(([pattern]) => matches(segmentsOf(pattern), path)).flatMap(([, names]) => [...names]);
  return [...new Set(methods)].sort();
}

function segmentsOf(path: string): string[] {
  return path.split('/').slice(1);
}

/** Routes that end in `*` serve files: a path under them is one that is not there. */
function matches(pattern: readonly string[], path: readonly string[]): boolean {
  return pattern.length === path.length && pattern.every((part, i) => part === path[i] || (part.startsWith(':') && path[i] !== ''));
}

/** One line a request: its route's pattern, never its path, where emails stand. Probes and scrapes are not worth one. */
export function logRequests(adapter: FastifyAdapter, logger: Logger): void {
  adapter.getInstance().addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? '(none)';
    if (!/^\/(health|metrics|docs)/.test(route)) {
      const ms = Math.round(reply.elapsedTime * 10) / 10;
      logger.info({ context: 'http', request_id: request.id, method: request.method, route, status: reply.statusCode, ms }, 'request');
    }
    done();
  });
}
