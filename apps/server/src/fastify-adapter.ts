import { randomUUID } from 'node:crypto';
import { type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Logger } from 'pino';
import { AuthService, registerAuthHook, registerOpenAccessCheck } from '#auth';
import type { Settings, Timings } from '#config';
import { ClientAddresses, loggedCaller, problem, PROBLEM_TYPE, REQUEST_ID_HEADER, requestIdOf } from '#http';
import { GracefulShutdown, type Tracing } from '#observability';
import { registerJsonParsers } from './json-bodies.js';
import { DOCS_PATHS } from './openapi.js';
import { registerCors, registerSecurityHeaders, SECURITY_HEADERS } from './security-headers.js';
import { drainConnections } from './shutdown.js';
import { isObserved, loggedTrace, registerRequestSpans } from './trace-requests.js';

/** Maximum size (bytes) of a JSON body. */
const BODY_LIMIT = 64 * 1024;
/** Maximum length of an email in a path, percent-encoded. */
const MAX_PARAM_LENGTH = 1_024;

/**
 * Timeout (ms) for receiving a request, which also holds for streamed imports. Idle connections are kept longer than load balancers keep them
 * (60 s by default), so that a load balancer never sends a request on a connection that was just closed.
 */
const REQUEST_TIMEOUT_MS = 300_000;
const KEEP_ALIVE_TIMEOUT_MS = 65_000;

/** Creates the Fastify adapter, to be used with `bodyParser: false`: bodies are JSON, and any other media type is 415. */
export function createHttpAdapter({ http }: Timings): FastifyAdapter {
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    http: { headersTimeout: http.headTimeoutMs, connectionsCheckingInterval: http.headCheckMs },
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    // drainConnections has answered all requests before Fastify closes.
    forceCloseConnections: true,
    frameworkErrors: answerRouterError,
    clientErrorHandler: answerClientError,
  });
  const fastify = adapter.getInstance();
  fastify.removeContentTypeParser('text/plain');
  // The size of the head is limited. By default Node leaves out the headers after the first 1,000 without a word, a precondition among them.
  fastify.server.maxHeadersCount = 0;
  closeWaitingResponses(fastify.server);
  fastify.server.on('connect', (_request, socket: Socket) => {
    endConnection(socket, 400, 'CONNECT is a method for proxies, and this server is not one');
  });
  return adapter;
}

/**
 * Closes all responses of a connection that ends. Node emits `close` for the one that it is sending, and never for those of pipelined requests that
 * wait behind it: their event streams would go on, and a stop would wait for them.
 */
function closeWaitingResponses(server: Server): void {
  const waitingOf = new WeakMap<Socket, Set<ServerResponse>>();
  server.on('request', ({ socket }, response) => {
    // A response that waits has no socket yet.
    if (response.socket !== null) return;
    const waiting = waitingOf.get(socket) ?? new Set();
    if (!waitingOf.has(socket)) {
      waitingOf.set(socket, waiting);
      socket.once('close', () => {
        for (const left of waiting) left.destroy().emit('close');
      });
    }
    waiting.add(response);
    response.once('close', () => waiting.delete(response));
  });
}

/**
 * Registers all plugins and hooks of the HTTP server. Hooks of one kind run in the order of their registration:
 *
 * 1. `X-Request-Id` is part of every response, of errors too. The span of a request, if there is one, has all that follows.
 * 2. So are security headers.
 * 3. While access is open, requests of web pages and under foreign host names are rejected, whatever their path.
 * 4. A method that the path does not support is 405, before anything else looks at the request.
 * 5. One log line is written for each response.
 * 6. Requests in progress are counted from here on, those that the hooks below delay or reject included.
 * 7. CORS comes before the access check, so that its rejections carry its headers.
 * 8. The access check comes last, still before the body is read (ADR 20).
 */
export async function registerPlugins(app: NestFastifyApplication, settings: Settings, logger: Logger, tracing?: Tracing): Promise<void> {
  const adapter = app.getHttpAdapter() as unknown as FastifyAdapter;
  registerJsonParsers(adapter);
  registerRequestIds(adapter);
  if (tracing) registerRequestSpans(adapter, tracing);
  registerSecurityHeaders(adapter);
  registerClientAddresses(adapter, settings);
  registerOpenAccessCheck(adapter, settings);
  registerMethodNotAllowed(adapter);
  registerRequestLog(adapter, logger);
  drainConnections(adapter, app.get(GracefulShutdown));
  await registerCors(app, settings);
  registerAuthHook(adapter, app.get(AuthService), DOCS_PATHS);
}

/** The parts of Fastify's reply that are used here. */
interface Reply {
  readonly raw: ServerResponse;
  hijack(): unknown;
}

/** Details of errors that Fastify's router raises before Nest sees the request. Fastify's own messages quote the path, and with it an email. */
const ROUTER_ERROR_DETAILS: Readonly<Record<number, string>> = {
  400: 'The path is not well-formed: its percent-encoding is not valid UTF-8',
  414: `A segment of the path is longer than ${MAX_PARAM_LENGTH} characters`,
};

function answerRouterError(error: { statusCode?: number }, { id }: { id: string }, reply: Reply): void {
  const status = error.statusCode ?? 400;
  const detail = ROUTER_ERROR_DETAILS[status] ?? 'The request is not well-formed';
  const body = JSON.stringify(problem(status, detail, { request_id: id }));
  reply.hijack();
  const headers = { ...SECURITY_HEADERS, [REQUEST_ID_HEADER]: id };
  reply.raw.writeHead(status, { ...headers, 'content-type': PROBLEM_TYPE, 'content-length': Buffer.byteLength(body) });
  reply.raw.end(body);
}

const CLIENT_ERROR_STATUS: Readonly<Record<string, number>> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };
const CLIENT_ERROR_DETAILS: Readonly<Record<number, string>> = {
  408: 'The server did not receive the complete request in time',
  431: 'The URL and the headers together are larger than 16 KB',
};

/** Time (ms) for a client to read the last answer of a connection. One that is still sending would lose it if the connection were reset at once. */
const LINGER_MS = 1_000;
const ending = new WeakSet<Socket>();

/**
 * Handles Node's `clientError`: malformed HTTP or a request timeout. There is no request object, only the socket. While the response to an earlier
 * request is being made or sent, the client would take the answer for that response, or for a part of it: then the connection ends without one.
 */
function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (ending.has(socket)) return;
  // Node's own handler reads the same field.
  const { _httpMessage: response } = socket as Socket & { readonly _httpMessage?: ServerResponse | null };
  const isAnswering = response ? response.headersSent || response.req.complete : false;
  if (error.code === 'ECONNRESET' || !socket.writable || isAnswering) return void socket.destroy();
  const status = CLIENT_ERROR_STATUS[error.code ?? ''] ?? 400;
  endConnection(socket, status, CLIENT_ERROR_DETAILS[status] ?? 'The request is not well-formed HTTP');
}

/** Answers outside of Fastify, and closes the connection. */
function endConnection(socket: Socket, status: number, detail: string): void {
  const id = randomUUID();
  const body = JSON.stringify(problem(status, detail, { request_id: id }));
  const headers = Object.entries({
    ...SECURITY_HEADERS,
    'content-type': PROBLEM_TYPE,
    [REQUEST_ID_HEADER]: id,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  });
  const head = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]!}\r\n${head}\r\n${body}`);
  ending.add(socket);
  socket.resume();
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

/** Gives every request an id: the client's if it is well-formed, otherwise a new one. It is part of every response and of the log. */
function registerRequestIds(adapter: FastifyAdapter): void {
  const fastify = adapter.getInstance();
  fastify.setGenReqId(({ headers }) => requestIdOf(headers[REQUEST_ID_HEADER]));
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.header(REQUEST_ID_HEADER, request.id);
    done();
  });
}

/** Finds out which address sent each request, for limits, the log and the audit log. */
function registerClientAddresses(adapter: FastifyAdapter, { access }: Settings): void {
  const fastify = adapter.getInstance();
  const addresses = new ClientAddresses(access.trustedProxies);
  fastify.decorateRequest('clientAddress', '');
  fastify.addHook('onRequest', (request, _reply, done) => {
    const { remoteAddress } = request.raw.socket;
    Object.assign(request, { clientAddress: addresses.addressOf(remoteAddress, request.headers['x-forwarded-for']) });
    done();
  });
}

/**
 * Answers 405 with `Allow` instead of 404 for a path that supports other methods. This includes fixed paths that a pattern would also match:
 * PUT of `/subscriptions/import` does not address the subscription of an email "import".
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
    const detail = `This path does not support ${request.method}`;
    void reply.code(405).header('allow', allowed.join(', ')).header('content-type', PROBLEM_TYPE);
    void reply.send(JSON.stringify(problem('method-not-allowed', detail, { request_id: request.id })));
  });
}

type Routes = ReadonlyMap<string, ReadonlySet<string>>;

/** Returns the methods to name in a 405, or none for a request that its route or the 404 handler answers. The CORS plugin answers preflights. */
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

/** Routes that end in `*` serve files: a path below them that was not found does not exist. */
function matches(pattern: readonly string[], path: readonly string[]): boolean {
  return pattern.length === path.length && pattern.every((part, i) => part === path[i] || (part.startsWith(':') && path[i] !== ''));
}

/** Logs one line for each response, refused requests included. It has the pattern of the route, never the path, because paths contain emails. */
function registerRequestLog(adapter: FastifyAdapter, logger: Logger): void {
  adapter.getInstance().addHook('onResponse', (request, reply, done) => {
    const { url } = request.routeOptions;
    if (isObserved(url)) {
      const route = url ?? '(none)';
      const ms = Math.round(reply.elapsedTime * 10) / 10;
      const { id: request_id, method } = request;
      const { statusCode: status } = reply;
      logger.info(
        { context: 'http', code: 'request', request_id, ...loggedTrace(request), method, route, status, ms, ...loggedCaller(request) },
        'request',
      );
    }
    done();
  });
}
