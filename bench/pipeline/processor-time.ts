import { readdirSync, readFileSync } from 'node:fs';
import type { Pool } from 'pg';
import type { Servers } from '../servers.js';
import { BENCH, type Pipeline } from './pipeline.js';

const CLOCK_TICK_MS = 10;

/** Parts of the servers. The pipeline's own processes are parts, too. */
export const SERVER_PARTS = ['DB1 writer', 'DB1 walsender', 'DB1 other', 'Kafka', 'DB2'] as const;

/** CPU time (ms) by part. */
export type ProcessorTime = ReadonlyMap<string, number>;

interface Process {
  readonly parent: number;
  readonly own: number;
  /** CPU time (ms) of children that have ended. */
  readonly ended: number;
}

/** Begins to measure. The result ends it and returns the time since. The benchmark's own queries of DB2 do not count. */
export async function measureProcessorTime(pipeline: Pipeline, servers: Servers): Promise<() => Promise<ProcessorTime>> {
  const before = await sample(pipeline, servers);
  return async () => {
    const sum = new Map<string, number>();
    for (const [key, { part, time }] of await sample(pipeline, servers))
      if (part !== BENCH) sum.set(part, (sum.get(part) ?? 0) + time - (before.get(key)?.time ?? 0));
    return sum;
  };
}

/** Returns the peak of the resident memory (MB) of each of the pipeline's own processes. */
export function peakMemory(pipeline: Pipeline): readonly (readonly [part: string, megabytes: number])[] {
  return pipeline.processes().map(([part, pid]) => {
    const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return [part, Math.round(Number(peak) / 1_024)];
  });
}

type Sample = ReadonlyMap<string, { readonly part: string; readonly time: number }>;

async function sample(pipeline: Pipeline, servers: Servers): Promise<Sample> {
  const [sessions1, sessions2] = await Promise.all([sessionsOf(pipeline.db1, 'DB1 writer'), sessionsOf(pipeline.db2, BENCH)]);
  const processes = readProcesses();
  const times = new Map<string, { part: string; time: number }>();
  const add = (part: string, pid: number, time: number): void => {
    times.set(`${part} ${pid}`, { part, time });
  };
  for (const [part, pid] of [...pipeline.processes(), ['Kafka', servers[2].pid] as const]) add(part, pid, timeOfTree(processes, pid));
  for (const [postmaster, sessions, other] of [
    [servers[0].pid, sessions1, 'DB1 other'],
    [servers[1].pid, sessions2, 'DB2'],
  ] as const) {
    const main = processes.get(postmaster);
    if (main) add(other, postmaster, main.own + main.ended);
    for (const [pid, { parent }] of processes) if (parent === postmaster) add(sessions.get(pid) ?? other, pid, timeOfTree(processes, pid));
  }
  return times;
}

/** Returns the parts of sessions that are not the rest of their server's, by pid. `benchmark` is the part of the benchmark's own. */
async function sessionsOf(database: Pool, benchmark: string): Promise<ReadonlyMap<number, string>> {
  const { rows } = await database.query<{ pid: number; part: string }>(`
    SELECT pid, CASE backend_type WHEN 'walsender' THEN 'DB1 walsender' ELSE '${benchmark}' END AS part
    FROM pg_stat_activity WHERE application_name = '${BENCH}' OR backend_type = 'walsender'`);
  return new Map(rows.map(({ pid, part }) => [pid, part]));
}

function readProcesses(): ReadonlyMap<number, Process> {
  const processes = new Map<number, Process>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readStat(name);
    if (stat === undefined) continue;
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const time = (first: number): number => (Number(fields[first]) + Number(fields[first + 1])) * CLOCK_TICK_MS;
    processes.set(Number(name), { parent: Number(fields[1]), own: time(11), ended: time(13) });
  }
  return processes;
}

/** Returns undefined for a process that has ended meanwhile. */
function readStat(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
}

/** Returns the CPU time (ms) of a process with all its descendants, also those that have ended. */
function timeOfTree(processes: ReadonlyMap<number, Process>, pid: number): number {
  const { own = 0, ended = 0 } = processes.get(pid) ?? {};
  let sum = own + ended;
  for (const [child, { parent }] of processes) if (parent === pid) sum += timeOfTree(processes, child);
  return sum;
}
