import 'reflect-metadata';
import { ConfigurationError, readEnvironment, readSettings } from '#config';
import { startServer } from './start-server.js';

/** A database that does not answer must not hold the process. What is in hand then is done again by the next one. */
const SHUTDOWN_MS = 10_000;

try {
  const server = await startServer(readSettings(readEnvironment()));
  const stop = (): void => {
    setTimeout(() => process.exit(1), SHUTDOWN_MS).unref();
    void server.stop().then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
} catch (error) {
  process.stderr.write(`${error instanceof ConfigurationError ? error.message : String((error as Error).stack)}\n`);
  process.exit(1);
}
