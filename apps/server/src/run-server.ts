import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigurationError, readEnvironment, readSettings, type Timings } from '#config';
import type { RunningServer } from './bootstrap.js';

/** A terminal's Ctrl-C reaches a program under npm twice: directly and through npm. Only a later one is a second one, ms. */
const DUPLICATE_SIGNAL_MS = 500;
/** So long `/health/ready` says why before the process ends by itself. */
const LOG_FLUSH_MS = 5_000;

/**
 * SIGTERM and SIGINT end the process: with 0 when all was finished, with 1 and a line that says what was not after `timeoutMs`
 * or at a second signal. SIGTERM drains first; SIGINT comes from a terminal, where nobody balances load. A process that gave up a part of
 * itself ends with 1, too.
 */
function stopOnSignals(starting: Promise<RunningServer>, timeoutMs: number): void {
  let server: RunningServer | undefined;
  let endingSince: number | undefined;

  const giveUp = (why: string): never => {
    const unfinished = server?.unfinished.join(', ') ?? 'starting';
    process.stderr.write(`${why}. Not finished: ${unfinished}. Nothing is lost: the next process does it again.\n`);
    process.exit(1);
  };

  const end = async (drain: boolean, code = 0): Promise<void> => {
    setTimeout(() => giveUp(`The stop took longer than SHUTDOWN_TIMEOUT_MS, ${timeoutMs} ms`), timeoutMs);
    // A start that fails is told by who started it.
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
  const onGivenUp = async (why: string): Promise<void> => {
    await delay(LOG_FLUSH_MS);
    if (endingSince !== undefined) return;
    endingSince = Date.now();
    process.stderr.write(`${why}. The process ends.\n`);
    await end(false, 1);
  };
  void starting.then(({ gaveUp }) => gaveUp.then(onGivenUp)).catch(() => undefined);
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

/** Runs a server by the environment, for as long as the process lives. `timings`: other durations than production's, for tests. */
export async function runServer(timings?: Timings): Promise<void> {
  try {
    const settings = readSettings(readEnvironment());
    // The frameworks are loaded here and not above, so that a signal that comes meanwhile is handled.
    const starting = import('./bootstrap.js').then(({ startServer }) => startServer(settings, timings));
    stopOnSignals(starting, settings.shutdown.timeoutMs);
    await starting;
  } catch (error) {
    process.stderr.write(`${error instanceof ConfigurationError ? error.message : String((error as Error).stack)}\n`);
    process.exit(1);
  }
}
