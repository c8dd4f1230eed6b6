import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { Command, Option, SubCommand } from 'nest-commander';
import { readCommandSettings, readEnvironment } from '#config';
import { describeTable, type Query, queryOf } from '#postgres';
import {
  cancelRun,
  estimateRows,
  pauseRun,
  readRun,
  readRuns,
  requestRun,
  resumeRun,
  type RunRequest,
  type RunView,
} from '#reconciliation';
import { useDatabase1 } from './database-1.js';
import { operator } from './operator.js';
import { formatRun, RunProgress } from './run-progress.js';
import { CommandGroup, CommandWithJson, EXIT_CODES, type JsonOptions, parseWholeNumber, UsageError } from './usage.js';

/** Interval (ms) between two polls of a run's progress. */
const POLL_INTERVAL_MS = 1_000;
const MAX_RATE = 1_000_000;
/** Number of runs that `list` prints. */
const LISTED_RUNS = 20;
const CHANGES = { pause: pauseRun, resume: resumeRun, cancel: cancelRun };

/** The runs of Database 1, each call with a connection of its own. A sync process that knows Database 2 works on them. */
@Injectable()
class RunStore {
  use<T>(work: (query: Query) => Promise<T>): Promise<T> {
    return useDatabase1((source) => work(queryOf(source)));
  }

  /** Starts a run, and follows it. */
  async start(request: Partial<RunRequest>, json = false): Promise<void> {
    await this.use(async (query) => this.follow(query, await requestRun({ query }, request, operator()), json));
  }

  /** Shows the progress of a run until it ends or is paused. The exit code tells when rows are left that differ. */
  async follow(query: Query, id: number, json: boolean): Promise<void> {
    let run = await readRun({ query }, id);
    const progress = new RunProgress(await this.countRows(query, run), json);
    for (;;) {
      progress.update(run);
      if (run.outcome === 'differs' || run.outcome === 'too_many') process.exitCode = EXIT_CODES.problem;
      if (run.outcome !== null || run.paused) return;
      await delay(POLL_INTERVAL_MS);
      run = await readRun({ query }, id);
    }
  }

  /** Returns about how many rows the run has; undefined for one of the rows that have changed lately, and where it takes too long. */
  private async countRows(query: Query, { scope, after_email: after, until_email: until }: RunView): Promise<number | undefined> {
    if (scope === 'changed') return undefined;
    const table = await describeTable(query, 'DB1', readCommandSettings(readEnvironment()).table);
    return estimateRows(query, table, after, until).catch(() => undefined);
  }
}

interface RangeOptions extends JsonOptions {
  readonly after?: string;
  readonly until?: string;
}

/** A command that starts a run over a range of emails. */
abstract class RangeCommand extends CommandWithJson {
  @Option({ flags: '--after <email>', description: 'only emails above this one, in the order of their bytes' })
  parseAfter(text: string): string {
    return text;
  }

  @Option({ flags: '--until <email>', description: 'only emails up to and including this one' })
  parseUntil(text: string): string {
    return text;
  }
}

function rangeOf({ after, until }: RangeOptions): Pick<RunRequest, 'after_email' | 'until_email'> {
  return { after_email: after ?? '', until_email: until ?? null };
}

interface CompareOptions extends RangeOptions {
  readonly dryRun?: boolean;
  readonly changed?: boolean;
  readonly load?: number;
}

@SubCommand({ name: 'compare', description: 'Compare both databases and repair the rows that differ' })
class CompareCommand extends RangeCommand {
  constructor(private readonly runs: RunStore) {
    super();
  }

  async run(_: string[], { dryRun = false, changed = false, load = 100, json, ...range }: CompareOptions): Promise<void> {
    await this.runs.start({ ...rangeOf(range), scope: changed ? 'changed' : 'all', repair: !dryRun, load }, json);
  }

  @Option({ flags: '--dry-run', description: 'find differences without repairing them' })
  parseDryRun(): boolean {
    return true;
  }

  @Option({ flags: '--changed', description: 'only rows that were changed recently' })
  parseChanged(): boolean {
    return true;
  }

  @Option({ flags: '--load <percent>', description: 'share of the time that the run may work, from 1 to 100' })
  parseLoad(text: string): number {
    return parseWholeNumber('--load', text, 100);
  }
}

@SubCommand({ name: 'list', description: 'List the newest runs' })
class ListRunsCommand extends CommandWithJson {
  constructor(private readonly runs: RunStore) {
    super();
  }

  async run(_: string[], { json }: JsonOptions): Promise<void> {
    const runs = await this.runs.use((query) => readRuns({ query }, LISTED_RUNS + 1));
    for (const run of runs.slice(0, LISTED_RUNS)) this.print(json, run, formatRun(run));
    if (runs.length === 0) this.note(json, 'There are no runs.');
    if (runs.length > LISTED_RUNS) this.note(json, 'Older runs are not listed: GET /reconciliation/runs lists all of them.');
  }
}

@SubCommand({ name: 'watch', arguments: '[id]', description: 'Show the progress of a run, by default that of the newest one' })
class WatchRunCommand extends CommandWithJson {
  constructor(private readonly runs: RunStore) {
    super();
  }

  async run([text]: string[], { json = false }: JsonOptions): Promise<void> {
    await this.runs.use(async (query) => {
      const id = text === undefined ? (await readRuns({ query }, 1))[0]?.id : parseWholeNumber('ID', text, Number.MAX_SAFE_INTEGER);
      if (id === undefined) throw new Error('There are no runs');
      await this.runs.follow(query, id, json);
    });
  }
}

/** A command that changes one run, which its argument names. */
abstract class ChangeRunCommand extends CommandWithJson {
  constructor(
    private readonly runs: RunStore,
    private readonly change: keyof typeof CHANGES,
  ) {
    super();
  }

  async run([text]: string[], { json }: JsonOptions): Promise<void> {
    if (text === undefined) throw new UsageError(`${this.change} needs the ID of a run: reconcile list shows them`);
    const id = parseWholeNumber('ID', text, Number.MAX_SAFE_INTEGER);
    await this.runs.use(async (query) => {
      await CHANGES[this.change]({ query }, id, operator());
      const run = await readRun({ query }, id);
      this.print(json, run, formatRun(run));
    });
  }
}

@SubCommand({ name: 'pause', arguments: '[id]', description: 'Pause a run' })
class PauseRunCommand extends ChangeRunCommand {
  constructor(runs: RunStore) {
    super(runs, 'pause');
  }
}

@SubCommand({ name: 'resume', arguments: '[id]', description: 'Resume a paused run where it stopped' })
class ResumeRunCommand extends ChangeRunCommand {
  constructor(runs: RunStore) {
    super(runs, 'resume');
  }
}

@SubCommand({ name: 'cancel', arguments: '[id]', description: 'Cancel a run. What it has repaired or published by then stays' })
class CancelRunCommand extends ChangeRunCommand {
  constructor(runs: RunStore) {
    super(runs, 'cancel');
  }
}

const SUB_COMMANDS = [CompareCommand, ListRunsCommand, WatchRunCommand, PauseRunCommand, ResumeRunCommand, CancelRunCommand];

@Command({
  name: 'reconcile',
  description:
    'Compare Database 1 with Database 2, and repair. A run continues when this command is ended: a sync process that knows Database 2 works on it',
  subCommands: SUB_COMMANDS,
})
class ReconcileCommand extends CommandGroup {}

interface BackfillOptions extends RangeOptions {
  readonly rate?: number;
  readonly publish?: boolean;
}

@Command({
  name: 'backfill',
  description: 'Copy all rows to Database 2 again, then compare and repair. It is a run: `reconcile` lists, pauses, resumes and cancels it',
})
class BackfillCommand extends RangeCommand {
  constructor(private readonly runs: RunStore) {
    super();
  }

  async run(_: string[], { rate, publish = false, json, ...range }: BackfillOptions): Promise<void> {
    await this.runs.start({ ...rangeOf(range), kind: publish ? 'republish' : 'resync', rate: rate ?? null }, json);
  }

  @Option({ flags: '--rate <rows>', description: 'rows per second at most' })
  parseRate(text: string): number {
    return parseWholeNumber('--rate', text, MAX_RATE);
  }

  @Option({ flags: '--publish', description: 'publish the rows for all readers of the topic, which is slower' })
  parsePublish(): boolean {
    return true;
  }
}

/** The commands `reconcile`, with its sub-commands, and `backfill`. */
export const RECONCILE_COMMANDS = [RunStore, ReconcileCommand, ...SUB_COMMANDS, BackfillCommand];
