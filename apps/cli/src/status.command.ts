import { setTimeout as delay } from 'node:timers/promises';
import { Command, Option } from 'nest-commander';
import { readEnvironment, readSettings, type Settings } from '#config';
import type { ReplicaStatus } from '#replica';
import type { SyncStatus } from '#sync';
import { untilInterrupted } from './interruption.js';
import { type DatabaseStatus, failed, MAX_LAG_S, readStatus, type RunStatus, type StatusParts, type Unreachable } from './status.js';
import { assess, type Assessment, countOf, formatBytes } from './status-problems.js';
import { CommandWithJson, EXIT_CODES, type JsonOptions, parseWholeNumber } from './usage.js';

/** Interval (s) of `--watch` without a value. */
const WATCH_S = 2;
const MAX_WATCH_S = 86_400;
/** Puts the cursor at the top of the screen, and clears the screen. */
const CLEAR = '\u001b[H\u001b[2J';

interface StatusOptions extends JsonOptions {
  /** True without a value. */
  readonly watch?: number | true;
}

type Status = StatusParts & Assessment & { readonly at: string };

/** It queries the databases and Kafka themselves, as `doctor` does: it needs no running service. */
@Command({
  name: 'status',
  description: 'Show whether everything is reachable and in order, and what is on the way. Exit code 1: there are problems',
})
export class StatusCommand extends CommandWithJson {
  async run(_: string[], { watch, json = false }: StatusOptions): Promise<void> {
    const settings = readSettings(readEnvironment());
    if (watch !== undefined) {
      const intervalS = watch === true ? WATCH_S : watch;
      return untilInterrupted((signal) => this.watch(settings, intervalS, json, signal));
    }
    const status = await sampleStatus(settings);
    this.print(json, status, format(status));
    if (status.state === 'problem') process.exitCode = EXIT_CODES.problem;
  }

  @Option({ flags: '--watch [seconds]', description: `show it again every few seconds, ${WATCH_S} by default, until Ctrl-C` })
  parseWatch(text: string): number {
    return parseWholeNumber('--watch', text, MAX_WATCH_S);
  }

  /** Draws the screen again and again on a terminal, and prints one block after another elsewhere. */
  private async watch(settings: Settings, intervalS: number, json: boolean, signal: AbortSignal): Promise<void> {
    const redraws = process.stdout.isTTY && !json;
    while (!signal.aborted) {
      const status = await sampleStatus(settings);
      if (redraws) process.stdout.write(CLEAR);
      this.print(json, status, `${format(status)}\n${redraws ? `\nEvery ${intervalS} s. Ctrl-C ends it.` : ''}`);
      await delay(intervalS * 1_000, undefined, { signal }).catch(() => undefined);
    }
  }
}

async function sampleStatus(settings: Settings): Promise<Status> {
  const parts = await readStatus(settings);
  return { at: new Date().toISOString(), ...parts, ...assess(parts) };
}

function format(status: Status): string {
  const { database1, database2, kafka, sync, apply, dead_letters: letters, run } = status;
  const lines = {
    'Database 1': line(database1, formatDatabase),
    'Database 2': line(database2, formatDatabase),
    Kafka: line(kafka, ({ brokers, topic, partitions }) => `${brokers.join(',')}, topic ${topic}, ${countOf(partitions, 'partition')}`),
    Capture: line(sync, formatCapture),
    'To Kafka': line(sync, ({ unpublished: { changes, seconds } }) =>
      changes === 0 ? 'nothing waits' : `${countOf(changes, 'change')}, the oldest ${seconds.toFixed(1)} s old`,
    ),
    'To Database 2': line(apply, ({ records, late }) =>
      records === 0 ? 'nothing waits' : `${countOf(records, 'record')}, ${late} of them for more than ${MAX_LAG_S} s`,
    ),
    Runs: line(run, formatRun, 'none yet'),
    'Dead letters': line(letters, formatLetters),
    'Refused by Kafka': line(sync, ({ unpublishable }) => countOf(unpublishable, 'change')),
  };
  return [
    `subscription-sync at ${status.at}\n`,
    ...Object.entries(lines).map(([name, text]) => `${name.padEnd(16)}  ${text}`),
    `\n${status.summary}`,
    ...status.problems.map((problem) => `- ${problem}`),
  ].join('\n');
}

function line<T extends object>(part: T | Unreachable | null, describe: (part: T) => string, nothing = 'not in the settings'): string {
  if (part === null) return nothing;
  return failed(part) ? `UNKNOWN: ${part.error}` : describe(part);
}

function formatDatabase({ version, address, table }: DatabaseStatus): string {
  return `PostgreSQL ${version}, ${address}, ${table}`;
}

function formatCapture({ captured_by: capturedBy, slot }: SyncStatus): string {
  const how = capturedBy === null ? 'NOT RUNNING' : `by ${capturedBy}`;
  if (!slot) return `${how}, no replication slot`;
  const state = slot.lost ? 'LOST' : slot.active ? 'in use' : 'not in use';
  const kept = slot.retained_bytes === null ? '' : `, ${formatBytes(slot.retained_bytes)} of WAL kept`;
  return `${how}, replication slot ${slot.name} is ${state}${kept}`;
}

function formatRun(run: RunStatus): string {
  const { id, reason, compared, differing, repaired, outcome, paused, started_at: started, finished_at: finished } = run;
  const state = outcome === null ? `${paused ? 'paused' : 'under way'} since ${started}` : `${outcome} at ${finished ?? started}`;
  return `${id} (${reason}): ${compared} compared, ${differing} differing, ${repaired} repaired, ${state}`;
}

function formatLetters({ open, by_class: byClass }: ReplicaStatus['dead_letters']): string {
  const classes = Object.entries(byClass).map(([name, count]) => `${count} ${name}`);
  return `${open} open${classes.length === 0 ? '' : `: ${classes.join(', ')}`}`;
}
