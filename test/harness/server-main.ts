/** A server as `apps/server/src/main.ts` runs it, with the timings of the test that started it. */
import { readEnvironment, type Timings } from '#config';
import { runServer } from '../../apps/server/src/run-server.js';
import { TIMINGS_VARIABLE } from './timings.js';

await runServer(JSON.parse(readEnvironment()[TIMINGS_VARIABLE]!) as Timings);
