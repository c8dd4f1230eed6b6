import { type ChildProcess, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../../apps/standalone/src/child-process.js';
import { pickFreePort } from '../../apps/standalone/src/plan.js';

const CHECKOUT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const MAIN = 'dist/apps/standalone/src/main.js';

/** Creates a checkout as it is after `npm install` and a build, before Kafka was ever fetched. */
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

/**
 * Creates a checkout that is not built: its build moves what this checkout built into place, because compiling it again takes 10 s of
 * processor time.
 */
export function unbuiltCheckout(folder: string): string {
  freshCheckout(folder);
  symlinkSync(join(CHECKOUT, 'node_modules/.cache'), join(folder, 'node_modules/.cache'));
  renameSync(join(folder, 'dist'), join(folder, 'built'));
  const file = join(folder, 'package.json');
  const description = JSON.parse(readFileSync(file, 'utf8')) as { scripts: Record<string, string> };
  description.scripts['build'] = 'mv built dist';
  writeFileSync(file, JSON.stringify(description));
  return folder;
}

/** Creates a folder for PATH with these scripts and the commands that the program calls besides Java and Maven, and nothing else. */
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

/** The real program, run from `dist/` as `npm start` runs it. */
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
    // The program must see neither a developer's .env nor their variables.
    const { PATH = '', HOME = '', JDK_JAVA_OPTIONS = '' } = process.env;
    const env = { PATH, HOME, JDK_JAVA_OPTIONS, LOG_LEVEL: 'fatal', STANDALONE_DATA_DIR: dataDir, ...environment };
    this.child = spawn(start.command, start.args, { cwd: start.cwd, env });
    for (const stream of [this.child.stdout, this.child.stderr]) stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.exited = new Promise((resolve) => this.child.once('close', resolve));
  }

  /** Runs `npm start` in a checkout. */
  static npmStart(dataDir: string, environment: Readonly<Record<string, string>>, checkout: string): Program {
    return new Program(dataDir, environment, checkout, { command: 'npm', args: ['start'], cwd: checkout });
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits for a text in the program's output. */
  async says(text: string, withinMs = 120_000): Promise<void> {
    const check = (): true | undefined => {
      if (this.output.includes(text)) return true;
      if (this.child.exitCode !== null) throw new Error(`The program ended before it printed "${text}":\n${this.output}`);
      return undefined;
    };
    await waitFor(check, { what: `"${text}" in:\n${this.output}`, withinMs });
  }
}

interface Process {
  readonly pid: number;
  readonly args: string;
}

/** Returns the running processes that belong to a data folder: servers, backends, reapers. Linux only. */
export function processesOf(dataDir: string): Process[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap(readProcess);
  const own = all.filter(({ args, cwd }) => args.includes(dataDir) || cwd.startsWith(dataDir));
  return [...own, ...all.filter(({ args }) => own.some(({ pid }) => args.includes(` reaper ${pid} `)))];
}

/** Returns the shell that ends the process when the program has ended. */
export function reaperOf(pid: number): Process {
  const reaper = processesOf('').find(({ args }) => args.includes(` reaper ${pid} `));
  if (!reaper) throw new Error(`Process ${pid} has no reaper`);
  return reaper;
}

function readProcess(name: string): (Process & { cwd: string })[] {
  try {
    const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
    if (stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')) return [];
    const args = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
    return [{ pid: Number(name), args, cwd: readlinkSync(`/proc/${name}/cwd`) }];
  } catch {
    return [];
  }
}

/** Waits until no process of that folder runs any more. */
export async function nothingRuns(dataDir: string, withinMs = 60_000): Promise<void> {
  await waitFor(() => (processesOf(dataDir).length === 0 ? true : undefined), {
    what: `The end of ${processesOf(dataDir)
      .map(({ args }) => args.slice(0, 60))
      .join('; ')}`,
    withinMs,
  });
}

/** Ends the processes that a failed test left behind, and removes its folder. */
export function removeFolder(folder: string): void {
  for (const { pid } of processesOf(folder)) process.kill(pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
}
