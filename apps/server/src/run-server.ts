import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigurationError, readEnvironment, readSettings, type Timings } from '#config';
import type { RunningServer } from './bootstrap.js';

/** Time (ms) within which a repeated SIGINT is a duplicate: Ctrl-C reaches a program under npm twice, directly and through npm. */
const DUPLICATE_SIGNAL_MS = 500;
/** Time (ms) for which `/health/ready` shows the reason before a process that gave up ends. */
const GIVEN_UP_DELAY_MS = 5_000;

/**
 * Ends the process on SIGTERM and SIGINT: with code 0 when everything was finished, or with code 1 and a line that names the unfinished steps,
 * after `timeoutMs` or at a second signal. SIGTERM drains first. SIGINT does not: it comes from a terminal, where there is no load balancer. A
 * process whose watchdog gave up also ends with code 1.
 */
function stopOnSignals(starting: Promise<RunningServer>, timeoutMs: number): void {
  let server: RunningServer | undefined;
  let endingSince: number | undefined;

  const giveUp = (reason: string): never => {
    const unfinished = server?.unfinished.join(', ') ?? 'starting';
    process.stderr.write(`${reason}. Not finished: ${unfinished}. Nothing is lost: the next process continues.\n`);
    process.exit(1);
  };

  const end = async (drain: boolean, code = 0): Promise<void> => {
    setTimeout(() => giveUp(`The stop took longer than SHUTDOWN_TIMEOUT_MS, ${timeoutMs} ms`), timeoutMs);
    // The caller of startServer reports a start that failed.
    server = await starting.catch(() => undefined);
    if (!server) return;
    if (drain) await server.drain();
    await server.stop().catch((error: unknown) => giveUp(`The stop failed: ${(error as Error).message}`));
    process.exit(code);
  };

  const onSignal = (signal: NodeJS.Signals): void => {
    if (endingSince === undefined) {
      endingSince = Date.now();
      void end(signal === 'SIGTERM');
    } else if (signal === 'SIGTERM' || Date.now() - endingSince > DUPLICATE_SIGNAL_MS) {
      giveUp('Ended at once by a second signal');
    }
  };
  const onGivenUp = async (reason: string): Promise<void> => {
    await delay(GIVEN_UP_DELAY_MS);
    if (endingSince !== undefined) return;
    endingSince = Date.now();
    process.stderr.write(`${reason}. The process ends.\n`);
    await end(false, 1);
  };
  void starting.then(({ gaveUp }) => gaveUp.then(onGivenUp)).catch(() => undefined);
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

/**
 * Runs a server that is configured by the environment, for as long as the process lives.
 * @param timings durations for tests, instead of those of production.
 */
export async function runServer(timings?: Timings): Promise<void> {
  try {
    const settings = readSettings(readEnvironment());
    // The frameworks are loaded here and not above, so that a signal that comes meanwhile is handled.
    const starting = import('./bootstrap.js').then(({ startServer }) => startServer(settings, timings));
    stopOnSignals(starting, settings.shutdown.timeoutMs);
    process.on(
      'SIGUSR2',
      () =>
        void starting
          .then((server) => {
            server.toggleDebugLog();
          })
          .catch(() => undefined),
    );
    await starting;
  } catch (error) {
    process.stderr.write(`${error instanceof ConfigurationError ? error.message : String((error as Error).stack)}\n`);
    process.exit(1);
  }
}
