import { setTimeout as delay } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { ConfigurationError, DEFAULT_TIMINGS, type Settings, type Timings } from '#config';
import { BatchStrategy } from '#kafka';
import { createLogger, GracefulShutdown, Health, NestLogger, startTracing, toggleDebugLevel, Watchdog } from '#observability';
import { AppModule } from './app.module.js';
import { createHttpAdapter, registerPlugins } from './fastify-adapter.js';
import { serveApiDocs } from './openapi.js';

/** Part of SHUTDOWN_TIMEOUT_MS for which a stop waits for a collector to take the last spans. */
const TRACES_SHARE = 0.1;

export interface RunningServer {
  /** The URL at which the HTTP interface listens. */
  readonly url: string;
  /**
   * Makes readiness fail for SHUTDOWN_DELAY_MS while everything else continues, so that load balancers send their requests elsewhere before the
   * listener closes. Returns at once when no load balancer can be sending requests here.
   */
  drain(): Promise<void>;
  /** Answers the requests in progress, finishes work in progress, stores positions, releases the lease, leaves the group and closes connections. */
  stop(): Promise<void>;
  /** Resolves with the reason when a part of the process stays stalled after its restart. The process should then end. */
  readonly gaveUp: Promise<string>;
  /** Names of the steps for which {@link stop} still waits. */
  readonly unfinished: readonly string[];
  /** Switches the log to the level `debug`, or back to the configured one. */
  toggleDebugLog(): void;
}

/**
 * Starts the roles in `settings` and listens. Databases and Kafka are connected in the background; `/health/ready` shows when they are.
 * @throws ConfigurationError when the server cannot listen on HOST and PORT.
 */
export async function startServer(settings: Settings, timings: Timings = DEFAULT_TIMINGS): Promise<RunningServer> {
  const logger = createLogger(settings.logLevel);
  const tracing = settings.tracing && (await startTracing(settings.tracing));
  const root = AppModule.forRoot(settings, timings, tracing);
  const app = await NestFactory.create<NestFastifyApplication>(root, createHttpAdapter(timings), {
    logger: new NestLogger(logger),
    abortOnError: false,
    bodyParser: false,
  });
  await registerPlugins(app, settings, logger, tracing);
  if (settings.roles.some((role) => role !== 'sync') || settings.db2) serveApiDocs(app);
  if (settings.roles.includes('replica')) app.connectMicroservice({ strategy: app.get(BatchStrategy) });
  // The message handlers must be registered before the first message arrives.
  await app.init();
  await app.startAllMicroservices();
  try {
    await app.listen(settings.port, settings.host);
  } catch (error) {
    await app.close();
    throw listenError(settings, error);
  }
  const shutdown = app.get(GracefulShutdown);
  return {
    url: await app.getUrl(),
    drain: async () => {
      shutdown.announce();
      if (settings.roles.includes('api') && app.get(Health).mayBeInUse) await delay(settings.shutdown.delayMs);
    },
    stop: async () => {
      await app.close();
      await tracing?.shutDown(settings.shutdown.timeoutMs * TRACES_SHARE);
    },
    gaveUp: app.get(Watchdog).gaveUp,
    get unfinished() {
      return shutdown.unfinished;
    },
    toggleDebugLog: () => {
      toggleDebugLevel(logger, settings.logLevel);
    },
  };
}

const LISTEN_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program already listens there',
  EACCES: 'this user is not allowed to listen there',
  EADDRNOTAVAIL: 'this machine does not have that address',
  ENOTFOUND: 'the host name is unknown',
};

function listenError({ host, port }: Settings, error: unknown): unknown {
  const reason = LISTEN_ERRORS[(error as { code?: string }).code ?? ''];
  return reason === undefined ? error : new ConfigurationError([`The server cannot listen on HOST ${host} and PORT ${port}: ${reason}`]);
}
