import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from '@jest/globals';

/** Keeps a process from its timers: longer than anybody waits here, and not for ever. */
const BUSY = `const end = Date.now() + 30_000; while (Date.now() < end);`;
const PATIENCE_MS = 20_000;

/** A process that logs. */
function program(code: string): ChildProcess {
  const imports = `import { NestLogger, createLogger } from '#operations'; const pino = createLogger('info'); const log = new NestLogger(pino);`;
  return spawn(process.execPath, ['--input-type=module', '-e', `${imports} ${code}`], { stdio: ['ignore', 'pipe', 'inherit'] });
}

test('all lines are there at the end of the process, in their order', async () => {
  const child = program(`for (let n = 0; n < 500; n += 1) pino.info({ n }, 'request'); process.exit(0);`);
  const lines = (await text(child.stdout!)).trimEnd().split('\n');
  expect(lines.map((line) => (JSON.parse(line) as { n: number }).n)).toEqual(Array.from({ length: 500 }, (_, n) => n));
});

test.each([
  ['a single line does not wait for others for long', `log.log('one'); setInterval(() => {}, 1000);`],
  ['a warning is written at once, with what came before it', `log.log('one'); log.warn('two'); ${BUSY}`],
])('%s', async (_, code) => {
  const child = program(code);
  try {
    const [chunk] = (await once(child.stdout!, 'data', { signal: AbortSignal.timeout(PATIENCE_MS) })) as [Buffer];
    expect(chunk.toString()).toContain('"msg":"one"');
  } finally {
    child.kill('SIGKILL');
  }
});
