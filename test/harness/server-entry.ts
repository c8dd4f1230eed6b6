import { readEnvironment, type Timings } from '#config';
import { runServer } from '../../apps/server/src/run-server.js';
import { TIMINGS_VARIABLE } from './timings.js';

/** Runs a server as `apps/server/src/main.ts` does, with the timings of the test that started it. */
export function run(): Promise<void> {
  return runServer(JSON.parse(readEnvironment()[TIMINGS_VARIABLE]!) as Timings);
}

/** Loads the modules that `run` loads when it starts the server. */
export function loadServer(): Promise<unknown> {
  return import('../../apps/server/src/bootstrap.js');
}
