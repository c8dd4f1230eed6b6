import type { RunningServer } from './start-server.js';

/** A terminal's Ctrl-C reaches a program under npm twice: directly and through npm. Only a later one is a second one, ms. */
const SAME_CTRL_C_MS = 500;

/**
 * SIGTERM and SIGINT end the process: with 0 when all was finished, with 1 and a line that says what was not after `timeoutMs`
 * or at a second signal. SIGTERM drains first; SIGINT comes from a terminal, where nobody balances load.
 */
export function endOnSignals(starting: Promise<RunningServer>, timeoutMs: number): void {
  let server: RunningServer | undefined;
  let endingSince: number | undefined;

  const giveUp = (why: string): never => {
    const unfinished = server?.unfinished.join(', ') ?? 'starting';
    process.stderr.write(`${why}. Not finished: ${unfinished}. Nothing is lost: the next process does it again.\n`);
    process.exit(1);
  };

  const end = async (drain: boolean): Promise<void> => {
    setTimeout(() => giveUp(`The stop took longer than SHUTDOWN_TIMEOUT_MS, ${timeoutMs} ms`), timeoutMs);
    server = await starting;
    if (drain) await server.drain();
    await server.stop();
    process.exit(0);
  };

  const onSignal = (signal: NodeJS.Signals): void => {
    if (endingSince === undefined) {
      endingSince = Date.now();
      // A start that fails is told by who started it.
      void end(signal === 'SIGTERM').catch(() => undefined);
    } else if (signal === 'SIGTERM' || Date.now() - endingSince > SAME_CTRL_C_MS) {
      giveUp('Ended at once by a second signal');
    }
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}
