import 'reflect-metadata';
import { ConfigurationError, readEnvironment, readSettings } from '#config';
import { startServer } from './start-server.js';

try {
  const server = await startServer(readSettings(readEnvironment()));
  const stop = (): void => {
    void server.stop().then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
} catch (error) {
  process.stderr.write(`${error instanceof ConfigurationError ? error.message : String((error as Error).stack)}\n`);
  process.exit(1);
}
