import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ConfigurationError, readCommandSettings, readEnvironment } from '#config';
import { RunDesk, type RunState, type RunRequest } from '#reconciliation';

const USAGE = `npm run reconcile -- <command>
  compare [--after EMAIL] [--until EMAIL] [--dry-run] [--changed] [--load PERCENT]
                          compares both databases and repairs what differs; --dry-run only finds; --changed only what was changed lately
  resync [--after EMAIL] [--until EMAIL] [--rate ROWS_PER_SECOND] [--publish]
                          brings all rows to Database 2 again, then compares and repairs; --publish for all readers of the topic, slower
  list                    the newest runs
  pause ID, resume ID, cancel ID
Emails are in the order of their bytes: above --after, up to --until. A run goes on when this command is ended; a sync process that knows
Database 2 works on it.
`;
const LOOK_EVERY_MS = 1_000;

/** `npm run reconcile`. Exits with 1 when it can't be done, or when rows are left that differ. */
try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      after: { type: 'string' },
      until: { type: 'string' },
      'dry-run': { type: 'boolean' },
      changed: { type: 'boolean' },
      load: { type: 'string' },
      rate: { type: 'string' },
      publish: { type: 'boolean' },
    },
  });
  const [command, id] = positionals;
  const range = { after_email: values.after ?? '', until_email: values.until ?? null };
  const { db1 } = readCommandSettings(readEnvironment());
  const desk = new RunDesk(db1);
  await desk.open();
  try {
    if (command === 'compare') {
      const scope = values.changed ? 'changed' : 'all';
      await follow(desk, { ...range, scope, repair: !values['dry-run'], load: numberOf('--load', values.load, 100) ?? 100 });
    } else if (command === 'resync') {
      await follow(desk, { ...range, kind: values.publish ? 'republish' : 'resync', rate: numberOf('--rate', values.rate, 1_000_000) });
    } else if (command === 'list') for (const run of await desk.look()) say(run);
    else if (command === 'pause' || command === 'resume' || command === 'cancel') {
      const number = numberOf('ID', id, Number.MAX_SAFE_INTEGER);
      if (number === null) throw new Error(`${command} needs the ID of a run`);
      await desk.steering[command](number);
      say((await desk.look(number))[0]!);
    } else throw new Error(`${command === undefined ? 'What is to be done?' : `There is no command ${command}`}\n${USAGE}`);
  } finally {
    await desk.close();
  }
} catch (error) {
  process.stderr.write(`${error instanceof ConfigurationError ? error.message : (error as Error).message}\n`);
  process.exitCode = 1;
}

/** Starts a run, and tells how far it is until it ends or somebody pauses it. */
async function follow(desk: RunDesk, task: Partial<RunRequest>): Promise<void> {
  const id = await desk.start(task);
  let told = '';
  for (;;) {
    const [run] = await desk.look(id);
    if (run === undefined) return;
    if (told !== run.position || run.outcome !== null) say(run);
    told = run.position;
    if (run.outcome === 'differs' || run.outcome === 'too_many') process.exitCode = 1;
    if (run.outcome !== null || run.paused) return;
    await delay(LOOK_EVERY_MS);
  }
}

function say({ id, compared, differing, repaired, outcome, paused }: RunState): void {
  const state = outcome ?? (paused ? 'paused' : 'under way');
  process.stdout.write(`run ${id}: ${compared} rows, ${differing} differing, ${repaired} repaired, ${state}\n`);
}

function numberOf(name: string, text: string | undefined, most: number): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > most)
    throw new Error(`${name} must be a whole number from 1 to ${most}, but is "${text}"`);
  return value;
}
