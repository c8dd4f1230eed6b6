import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../../apps/standalone/src/child-process.js';
import { pickFreePort } from '../../apps/standalone/src/plan.js';

const CHECKOUT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const MAIN = 'dist/apps/standalone/src/main.js';

/** An empty folder that the user PostgreSQL runs as can enter. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'standalone-'));
  chmodSync(folder, 0o755);
  return folder;
}

/** The checkout as it is after `npm install`: built, and Kafka never fetched. */
export function freshCheckout(folder: string): string {
  cpSync(join(CHECKOUT, 'dist'), join(folder, 'dist'), { recursive: true });
  cpSync(join(CHECKOUT, 'package.json'), join(folder, 'package.json'));
  cpSync(join(CHECKOUT, 'apps/standalone/kafka'), join(folder, 'apps/standalone/kafka'), { recursive: true });
  mkdirSync(join(folder, 'node_modules'));
  for (const name of readdirSync(join(CHECKOUT, 'node_modules'))) {
    if (name !== '.cache') symlinkSync(join(CHECKOUT, 'node_modules', name), join(folder, 'node_modules', name));
  }
  return folder;
}

/** A folder for PATH that holds nothing but these scripts, and what the parts call besides Java and Maven. */
export function commands(folder: string, scripts: Readonly<Record<string, string>>): string {
  mkdirSync(folder);
  for (const name of ['id', 'sh', 'sleep']) {
    const found = ['/usr/bin', '/bin'].map((place) => join(place, name)).find((path) => existsSync(path));
    if (found) symlinkSync(found, join(folder, name));
  }
  for (const [name, script] of Object.entries(scripts)) writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return folder;
}

export type Ports = Record<'PORT' | 'DB1_PORT' | 'DB2_PORT' | 'STANDALONE_KAFKA_PORT', string>;

export async function freePorts(): Promise<Ports> {
  const next = async (): Promise<string> => String(await pickFreePort());
  return { PORT: await next(), DB1_PORT: await next(), DB2_PORT: await next(), STANDALONE_KAFKA_PORT: await next() };
}

interface Start {
  readonly command: string;
  readonly args: string[];
  readonly cwd: string;
}

/** The real program, as `npm start` runs it: nothing but what stands in `dist/` proves that it starts. */
export class Program {
  output = '';
  readonly exited: Promise<number | null>;
  private readonly child: ChildProcess;

  constructor(
    readonly dataDir: string,
    environment: Readonly<Record<string, string>>,
    checkout = CHECKOUT,
    start: Start = { command: process.execPath, args: [join(checkout, MAIN)], cwd: dirname(dataDir) },
  ) {
    // No .env of a developer, no variables of theirs.
    const { PATH = '', HOME = '' } = process.env;
    const env = { PATH, HOME, LOG_LEVEL: 'fatal', STANDALONE_DATA_DIR: dataDir, ...environment };
    this.child = spawn(start.command, start.args, { cwd: start.cwd, env });
    for (const stream of [this.child.stdout, this.child.stderr]) stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.exited = new Promise((resolve) => this.child.once('close', resolve));
  }

  /** By npm itself, in the checkout, where a developer's .env may name other parts. */
  static npmStart(dataDir: string, environment: Readonly<Record<string, string>>): Program {
    const start = { command: 'npm', args: ['start'], cwd: CHECKOUT };
    return new Program(dataDir, { DB1_HOST: '', DB2_HOST: '', KAFKA_SERVER: '', ...environment }, CHECKOUT, start);
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits for a text in its output. */
  async says(text: string, withinMs = 40_000): Promise<void> {
    const look = (): true | undefined => {
      if (this.output.includes(text)) return true;
      if (this.child.exitCode !== null) throw new Error(`It ended before it said "${text}":\n${this.output}`);
      return undefined;
    };
    await waitFor(look, { what: `"${text}" in:\n${this.output}`, withinMs });
  }
}

interface Process {
  readonly pid: number;
  readonly args: string;
}

/** The living processes that belong to a data folder: parts, backends, reapers. Linux only. */
export function processesOf(dataDir: string): Process[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap(look);
  const own = all.filter(({ args, cwd }) => args.includes(dataDir) || cwd.startsWith(dataDir));
  return [...own, ...all.filter(({ args }) => own.some(({ pid }) => args.includes(` reaper ${pid} `)))];
}

/** The shell that guards the part. */
export function reaperOf(pid: number): Process {
  const reaper = processesOf('').find(({ args }) => args.includes(` reaper ${pid} `));
  if (!reaper) throw new Error(`Nothing guards process ${pid}`);
  return reaper;
}

function look(name: string): (Process & { cwd: string })[] {
  try {
    const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
    if (stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')) return [];
    const args = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
    return [{ pid: Number(name), args, cwd: readlinkSync(`/proc/${name}/cwd`) }];
  } catch {
    return [];
  }
}

/** Waits until nothing of that folder runs any more. */
export async function nothingRuns(dataDir: string, withinMs = 15_000): Promise<void> {
  await waitFor(() => (processesOf(dataDir).length === 0 ? true : undefined), {
    what: `The end of ${processesOf(dataDir)
      .map(({ args }) => args.slice(0, 60))
      .join('; ')}`,
    withinMs,
  });
}

/** Ends what a failed test left, then removes its folder. */
export function clearAway(folder: string): void {
  for (const { pid } of processesOf(folder)) process.kill(pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
}
