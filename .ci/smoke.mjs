/**
 * Starts the build in the same way as the image: from another folder, with the production packages only. Only this check detects a package
 * that production needs but that is listed in devDependencies.
 */
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Timeout (ms) for the start of the service. */
const START_TIMEOUT_MS = 20_000;

const folder = mkdtempSync(join(tmpdir(), 'subscription-sync-smoke-'));
try {
  for (const part of ['package.json', 'dist']) cpSync(part, join(folder, part), { recursive: true });
  linkPackages();
  await expectToServe(await freePort());
  console.log('The service starts and serves /health/live and /docs-json.');
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Links the packages that `npm ci --omit=dev --omit=optional` would install, according to the lockfile. Installing them takes 17 s. */
function linkPackages() {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
  for (const [path, { dev, optional, devOptional }] of Object.entries(packages)) {
    // A package nested in another one comes with it.
    if (dev || optional || devOptional || path.split('node_modules/').length !== 2) continue;
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    symlinkSync(resolve(path), join(folder, path));
  }
}

/** Starts all roles without databases and Kafka: the service starts all the same, and waits for them. */
async function expectToServe(port) {
  const nowhere = { HOST: '127.0.0.1', PORT: '1', USER: 'u', PASSWORD: 'p', DATABASE: 'd' };
  const databases = ['DB1', 'DB2'].flatMap((name) => Object.entries(nowhere).map(([key, value]) => [`${name}_${key}`, value]));
  const env = { PATH: process.env.PATH, NODE_ENV: 'production', PORT: port, KAFKA_SERVER: '127.0.0.1:1', ...Object.fromEntries(databases) };
  // Otherwise a package would find development packages next to the target of its link.
  const args = ['--preserve-symlinks', 'dist/apps/server/src/main.js'];
  const server = spawn(process.execPath, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [server.stdout, server.stderr]) stream.on('data', (text) => (output += text));
  const exited = new Promise((resolve) => server.once('exit', resolve));
  try {
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (const path of ['/health/live', '/docs-json']) {
      while ((await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined))?.status !== 200) {
        if (Date.now() > deadline || server.exitCode !== null) throw new Error(`${path} was not served. The server printed:\n${output}`);
        await delay(50);
      }
    }
  } finally {
    server.kill('SIGTERM');
  }
  const code = await exited;
  if (code !== 0) throw new Error(`SIGTERM ended it with ${code}. The server printed:\n${output}`);
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(String(port)));
    });
  });
}
