import 'reflect-metadata';
import { ConfigurationError, readEnvironment, readSettings } from '#config';
import { endOnSignals } from './end-on-signals.js';

try {
  const settings = readSettings(readEnvironment());
  // Loaded only now: a signal that comes while the frameworks load is heard.
  const starting = import('./start-server.js').then(({ startServer }) => startServer(settings));
  endOnSignals(starting, settings.shutdown.timeoutMs);
  await starting;
} catch (error) {
  process.stderr.write(`${error instanceof ConfigurationError ? error.message : String((error as Error).stack)}\n`);
  process.exit(1);
}
