import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from '@jest/globals';

/** Blocks the event loop for longer than the test waits, but not forever. */
const BUSY = `const end = Date.now() + 30_000; while (Date.now() < end);`;
const TIMEOUT_MS = 20_000;
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** Starts a process that logs. */
function program(code: string, level = 'info'): ChildProcess {
  const imports = `import { NestLogger, createLogger, toggleDebugLevel } from '#observability'; const pino = createLogger(process.argv[1]); const log = new NestLogger(pino);`;
  return spawn(process.execPath, ['--input-type=module', '-e', `${imports} ${code}`, level], { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function linesOf(child: ChildProcess): Promise<unknown[]> {
  const lines = (await text(child.stdout!)).trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as unknown);
}

test('all lines are written in order before the process ends', async () => {
  const lines = await linesOf(program(`for (let n = 0; n < 5_000; n += 1) pino.info({ n }, 'request'); process.exit(0);`));
  expect(lines).toEqual(Array.from({ length: 5_000 }, (_, n) => expect.objectContaining({ n })));
});

test('an event is a line with its code', async () => {
  expect(await linesOf(program(`log.error({ code: 'slot-replaced', message: 'Replaced' }, undefined, 'capture');`))).toEqual([
    { level: 'error', time: expect.stringMatching(ISO_TIME), code: 'slot-replaced', context: 'capture', msg: 'Replaced' },
  ]);
});

test.each([
  ['error', ['The log level is debug now. SIGUSR2 sets it to error.', 'two', 'The log level is error now. SIGUSR2 sets it to debug.']],
  [
    'debug',
    ['one', 'The log level is info now. SIGUSR2 sets it to debug.', 'The log level is debug now. SIGUSR2 sets it to info.', 'three'],
  ],
])('the level %s is changed and set back while the process runs', async (level, messages) => {
  const toggle = `toggleDebugLevel(pino, '${level}');`;
  const child = program(`log.debug('one'); ${toggle} log.debug('two'); ${toggle} log.debug('three');`, level);
  expect(await linesOf(child)).toEqual(messages.map((msg) => expect.objectContaining({ msg })));
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
