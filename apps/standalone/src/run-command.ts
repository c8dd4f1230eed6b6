import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface CommandOptions {
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  readonly onLine?: (line: string) => void;
  /** Ends the command; the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface CommandResult {
  /** Undefined when the command was not found or ended by a signal. */
  readonly code: number | undefined;
  /** Standard output and error, in the order they came. */
  readonly lines: readonly string[];
}

/** Runs a command to its end and never throws for its failure. Resolves when it is gone. */
export async function runCommand(command: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  options.signal?.throwIfAborted();
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options.user });
  const lines: string[] = [];
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on('line', (line) => {
      lines.push(line);
      options.onLine?.(line);
    });
  }
  const stop = (): boolean => child.kill('SIGTERM');
  options.signal?.addEventListener('abort', stop);
  const code = await new Promise<number | undefined>((resolve) => {
    child.once('error', () => resolve(undefined));
    child.once('close', (status) => resolve(status ?? undefined));
  });
  options.signal?.removeEventListener('abort', stop);
  options.signal?.throwIfAborted();
  return { code, lines };
}
