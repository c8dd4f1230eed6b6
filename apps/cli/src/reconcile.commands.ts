import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { Command, Option, SubCommand } from 'nest-commander';
import { DataSource } from 'typeorm';
import { readCommandSettings, readEnvironment } from '#config';
import { db1ConnectionOptions } from '#postgres';
import {
  cancelRun,
  pauseRun,
  readRun,
  readRuns,
  requestRun,
  resumeRun,
  type RunDatabase,
  type RunRequest,
  type RunView,
} from '#reconciliation';
import { operator } from './operator.js';
import { CommandGroup, CommandWithUsage, parseWholeNumber } from './usage.js';

/** Interval (ms) between two polls of a run's progress. */
const POLL_INTERVAL_MS = 1_000;
const MAX_RATE = 1_000_000;
/** Number of runs that `list` prints. */
const LISTED_RUNS = 20;
const CHANGES = { pause: pauseRun, resume: resumeRun, cancel: cancelRun };

/** The runs of Database 1, each call with a connection of its own. A sync process that knows Database 2 works on them. */
@Injectable()
class RunStore {
  async use<T>(work: (db1: RunDatabase) => Promise<T>): Promise<T> {
    const { db1 } = readCommandSettings(readEnvironment());
    const source = await new DataSource(db1ConnectionOptions({ ...db1, poolSize: 1 })).initialize();
    try {
      return await work({ query: (sql, parameters) => source.query(sql, parameters) });
    } finally {
      await source.destroy();
    }
  }

  /** Starts a run and prints its progress until it ends or is paused. The exit code becomes 1 when rows are left that differ. */
  async follow(request: Partial<RunRequest>): Promise<void> {
    await this.use(async (db1) => {
      const id = await requestRun(db1, request, operator());
      let printed = '';
      for (;;) {
        const run = await readRun(db1, id);
        if (printed !== run.position || run.outcome !== null) print(run);
        printed = run.position;
        if (run.outcome === 'differs' || run.outcome === 'too_many') process.exitCode = 1;
        if (run.outcome !== null || run.paused) return;
        await delay(POLL_INTERVAL_MS);
      }
    });
  }
}

function print({ id, compared, differing, repaired, outcome, paused, yielded }: RunView): void {
  const state = outcome ?? (yielded ? 'waiting for a requested run' : paused ? 'paused' : 'under way');
  process.stdout.write(`run ${id}: ${compared} compared, ${differing} differing, ${repaired} repaired, ${state}\n`);
}

interface RangeOptions {
  readonly after?: string;
  readonly until?: string;
}

/** A command that starts a run over a range of emails. */
abstract class RangeCommand extends CommandWithUsage {
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

  async run(_: string[], { dryRun = false, changed = false, load = 100, ...range }: CompareOptions): Promise<void> {
    await this.runs.follow({ ...rangeOf(range), scope: changed ? 'changed' : 'all', repair: !dryRun, load });
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

interface ResyncOptions extends RangeOptions {
  readonly rate?: number;
  readonly publish?: boolean;
}

@SubCommand({ name: 'resync', description: 'Copy all rows to Database 2 again, then compare and repair' })
class ResyncCommand extends RangeCommand {
  constructor(private readonly runs: RunStore) {
    super();
  }

  async run(_: string[], { rate, publish = false, ...range }: ResyncOptions): Promise<void> {
    await this.runs.follow({ ...rangeOf(range), kind: publish ? 'republish' : 'resync', rate: rate ?? null });
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

@SubCommand({ name: 'list', description: 'List the newest runs' })
class ListRunsCommand extends CommandWithUsage {
  constructor(private readonly runs: RunStore) {
    super();
  }

  async run(): Promise<void> {
    const runs = await this.runs.use((db1) => readRuns(db1, LISTED_RUNS + 1));
    for (const run of runs.slice(0, LISTED_RUNS)) print(run);
    if (runs.length > LISTED_RUNS) process.stdout.write('Older runs are not listed: GET /reconciliation/runs lists all of them.\n');
  }
}

/** A command that changes one run, which its argument names. */
abstract class ChangeRunCommand extends CommandWithUsage {
  constructor(
    private readonly runs: RunStore,
    private readonly change: keyof typeof CHANGES,
  ) {
    super();
  }

  async run([text]: string[]): Promise<void> {
    if (text === undefined) throw new Error(`${this.change} needs the ID of a run`);
    const id = parseWholeNumber('ID', text, Number.MAX_SAFE_INTEGER);
    await this.runs.use(async (db1) => {
      await CHANGES[this.change](db1, id, operator());
      print(await readRun(db1, id));
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

const SUB_COMMANDS = [CompareCommand, ResyncCommand, ListRunsCommand, PauseRunCommand, ResumeRunCommand, CancelRunCommand];

@Command({
  name: 'reconcile',
  description:
    'Compare Database 1 with Database 2, and repair. A run continues when this command is ended: a sync process that knows Database 2 works on it',
  subCommands: SUB_COMMANDS,
})
class ReconcileCommand extends CommandGroup {}

/** The command `reconcile` with its sub-commands. */
export const RECONCILE_COMMANDS = [RunStore, ReconcileCommand, ...SUB_COMMANDS];
