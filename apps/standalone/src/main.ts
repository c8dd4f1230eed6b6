import { ConfigurationError, readEnvironment } from '#config';
import { StandaloneError } from './child-process.js';
import { makePlan } from './plan.js';
import { Standalone } from './standalone.js';

/** Time (ms) within which a repeated signal is a duplicate: Ctrl-C reaches a program under npm twice, directly and through npm. */
const DUPLICATE_SIGNAL_MS = 500;

let standalone: Standalone | undefined;
let endingSince: number | undefined;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Returns the message of a known error, and the stack of an unknown one. */
function describe(error: unknown): string {
  if (error instanceof StandaloneError || error instanceof ConfigurationError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

async function end(exitCode: number, line: string): Promise<void> {
  if (endingSince !== undefined) return;
  endingSince = Date.now();
  (exitCode === 0 ? process.stdout : process.stderr).write(`${line}\n`);
  await standalone?.stop();
  process.exit(exitCode);
}

function endOnSignal(): void {
  if (endingSince === undefined) return void end(0, '\nStopping… (Ctrl-C again to force it)');
  if (Date.now() - endingSince < DUPLICATE_SIGNAL_MS) return;
  standalone?.kill();
  process.exit(1);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, endOnSignal);
process.on('uncaughtException', (error) => void end(1, describe(error)));

try {
  standalone = new Standalone(makePlan(readEnvironment()), print);
  void standalone.crashed.then((line) => end(1, line));
  await standalone.start();
} catch (error) {
  await end(1, describe(error));
}
