import { setTimeout as delay } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import type { FastifyAdapter, NestFastifyApplication } from '@nestjs/platform-fastify';
import { AuthService, registerAuthHook } from '#auth';
import { ConfigurationError, DEFAULT_TIMINGS, type Settings, type Timings } from '#config';
import { ProblemFilter } from '#http';
import { BatchStrategy } from '#kafka';
import { createLogger, Health, NestLogger, GracefulShutdown, Watchdog } from '#observability';
import { AppModule } from './app.module.js';
import { createHttpAdapter, logRequests } from './fastify-adapter.js';
import { DOCS_PATHS, serveApiDocs } from './openapi.js';
import { registerSecurityHeaders } from './security-headers.js';

export interface RunningServer {
  /** Where the HTTP interface listens. */
  readonly url: string;
  /**
   * Fails readiness while everything goes on, for SHUTDOWN_DELAY_MS: load balancers send their requests elsewhere before the
   * listener closes. Returns at once when they have no reason to send any.
   */
  drain(): Promise<void>;
  /** Answers the requests that run, finishes what is in hand, stores positions, lets go of the lease and the group, closes connections. */
  stop(): Promise<void>;
  /** Resolves with why, when a part of the process stays stalled whatever is done about it: the process is to end. */
  readonly gaveUp: Promise<string>;
  /** What {@link stop} still waits for. */
  readonly unfinished: readonly string[];
}

/**
 * Starts the roles of `settings` and listens. Databases and Kafka are connected in the background: `/health/ready` tells when.
 * @throws ConfigurationError when HOST and PORT can't be had.
 */
export async function startServer(settings: Settings, timings: Timings = DEFAULT_TIMINGS): Promise<RunningServer> {
  const logger = createLogger(settings.logLevel);
  const adapter = createHttpAdapter(settings.access.trustedProxies);
  logRequests(adapter, logger);
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.forRoot(settings, timings), adapter, {
    logger: new NestLogger(logger),
    abortOnError: false,
    bodyParser: false,
  });
  app.useGlobalFilters(new ProblemFilter());
  // Requests count from here on, also those that the checks below let wait or refuse.
  const shutdown = app.get(GracefulShutdown);
  drainConnections(adapter, shutdown);
  await registerSecurityHeaders(app, settings);
  registerAuthHook(adapter, app.get(AuthService), DOCS_PATHS);
  if (settings.roles.some((role) => role !== 'sync') || settings.db2) serveApiDocs(app);
  if (settings.roles.includes('replica')) {
    app.connectMicroservice({ strategy: app.get(BatchStrategy) });
  }
  // Handlers first, messages after.
  await app.init();
  await app.startAllMicroservices();
  try {
    await app.listen(settings.port, settings.host);
  } catch (error) {
    await app.close();
    throw cannotListen(settings, error);
  }
  return {
    url: await app.getUrl(),
    drain: async () => {
      shutdown.announce();
      if (settings.roles.includes('api') && app.get(Health).mayBeInUse) await delay(settings.shutdown.delayMs);
    },
    stop: () => app.close(),
    gaveUp: app.get(Watchdog).gaveUp,
    get unfinished() {
      return shutdown.unfinished;
    },
  };
}

const LISTEN_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there',
  EACCES: 'this user may not listen there',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'the host is unknown',
};

function cannotListen({ host, port }: Settings, error: unknown): unknown {
  const why = LISTEN_ERRORS[(error as { code?: string }).code ?? ''];
  return why === undefined ? error : new ConfigurationError([`HOST ${host} and PORT ${port} can't be used: ${why}`]);
}

/**
 * The end of the HTTP interface, as a part of the process's stop.
 *
 * - From the announcement on, each answer ends its connection: a client that keeps connections opens the next one elsewhere.
 * - Then the listener closes, what runs is answered, and all other connections are ended. Node's closeIdleConnections spares one on
 *   which nothing was ever sent (a browser's, a TCP probe's), and the server would wait for it for ever.
 */
function drainConnections(adapter: FastifyAdapter, shutdown: GracefulShutdown): void {
  const fastify = adapter.getInstance();
  let running = 0;
  let onLastAnswer = (): void => undefined;

  const onClose = (): void => {
    running -= 1;
    if (running === 0) onLastAnswer();
  };

  fastify.addHook('onRequest', (_request, reply, done) => {
    running += 1;
    // Emitted once, also when the client is gone before its answer.
    reply.raw.on('close', onClose);
    done();
  });
  fastify.addHook('onSend', (_request, reply, payload, done) => {
    if (shutdown.stopping) void reply.header('connection', 'close');
    done(null, payload);
  });

  const stop = async (): Promise<void> => {
    const { server } = fastify;
    if (!server.listening) return;
    const closed = new Promise((resolve) => server.close(resolve));
    if (running > 0) await new Promise<void>((resolve) => (onLastAnswer = resolve));
    server.closeAllConnections();
    await closed;
  };
  shutdown.register({ name: 'answering requests', stop });
}
