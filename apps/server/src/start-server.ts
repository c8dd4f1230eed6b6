import { setTimeout as delay } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Access, guardRoutes } from '#auth';
import { ConfigurationError, type Settings } from '#config';
import { ProblemFilter } from '#http';
import { BatchStrategy } from '#kafka';
import { createLogger, Health, NestLogger, Shutdown, Watchdog } from '#observability';
import { DOCS_PATHS, serveApiDocs } from './api-docs.js';
import { AppModule } from './app.module.js';
import { finishRequests } from './finish-requests.js';
import { createHttpAdapter } from './http-adapter.js';
import { logRequests } from './log-requests.js';
import { protect } from './protect.js';

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
export async function startServer(settings: Settings): Promise<RunningServer> {
  const logger = createLogger(settings.logLevel);
  const adapter = createHttpAdapter(settings.access.trustedProxies);
  logRequests(adapter, logger);
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.forRoot(settings), adapter, {
    logger: new NestLogger(logger),
    abortOnError: false,
    bodyParser: false,
  });
  app.useGlobalFilters(new ProblemFilter());
  // Requests count from here on, also those that the checks below let wait or refuse.
  const shutdown = app.get(Shutdown);
  finishRequests(adapter, shutdown);
  await protect(app, settings);
  guardRoutes(adapter, app.get(Access), DOCS_PATHS);
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

const WHY_NOT: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there',
  EACCES: 'this user may not listen there',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'the host is unknown',
};

function cannotListen({ host, port }: Settings, error: unknown): unknown {
  const why = WHY_NOT[(error as { code?: string }).code ?? ''];
  return why === undefined ? error : new ConfigurationError([`HOST ${host} and PORT ${port} can't be used: ${why}`]);
}
