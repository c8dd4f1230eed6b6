import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from '@jest/globals';

/** Blocks the event loop for longer than the test waits, but not forever. */
const BUSY = `const end = Date.now() + 30_000; while (Date.now() < end);`;
const TIMEOUT_MS = 20_000;

/** Starts a process that logs. */
function program(code: string): ChildProcess {
  const imports = `import { NestLogger, createLogger } from '#observability'; const pino = createLogger('info'); const log = new NestLogger(pino);`;
  return spawn(process.execPath, ['--input-type=module', '-e', `${imports} ${code}`], { stdio: ['ignore', 'pipe', 'inherit'] });
}

test('all lines are written in order before the process ends', async () => {
  const child = program(`for (let n = 0; n < 500; n += 1) pino.info({ n }, 'request'); process.exit(0);`);
  const lines = (await text(child.stdout!)).trimEnd().split('\n');
  expect(lines.map((line) => (JSON.parse(line) as { n: number }).n)).toEqual(Array.from({ length: 500 }, (_, n) => n));
});

test.each([
  ['a single line is written soon, without further lines', `log.log('one'); setInterval(() => {}, 1000);`],
  ['a warning is written at once, with the lines before it', `log.log('one'); log.warn('two'); ${BUSY}`],
])('%s', async (_, code) => {
  const child = program(code);
  try {
    const [chunk] = (await once(child.stdout!, 'data', { signal: AbortSignal.timeout(TIMEOUT_MS) })) as [Buffer];
    expect(chunk.toString()).toContain('"msg":"one"');
  } finally {
    child.kill('SIGKILL');
  }
});
