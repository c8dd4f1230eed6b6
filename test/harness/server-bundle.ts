import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageRoot, runCommand } from '../../apps/standalone/src/child-process.js';
import { eventually } from './eventually.js';

/**
 * Packages that Nest and TypeORM load by name while they run, which must be the ones that the server uses, those that read files beside their
 * modules, and those that the server loads only for one setting.
 */
const EXTERNAL = [
  '@aws-sdk/*',
  '@opentelemetry/*',
  'aws-msk-iam-sasl-signer-js',
  'class-validator',
  'class-transformer',
  'kafkajs',
  'pg',
  'pino',
  'swagger-ui-dist',
];
/** Packages that Nest imports where they are installed. */
const NOT_INSTALLED = [
  '@fastify/multipart',
  '@fastify/view',
  '@nats-io/*',
  '@nestjs/platform-express',
  '@nestjs/websockets/*',
  'amqp-connection-manager',
  'ioredis',
  'mqtt',
];
const BUILD = join(packageRoot(), 'dist');
/** The main module of server processes. */
export const SERVER_MAIN = join(BUILD, 'test/harness/server-main.js');

/**
 * Creates one file of all modules of the built server, with the code that V8 compiles for it, complete or not at all. A server process takes a
 * second of processor time to load it, and three for the 2,800 modules. The file is created once for each build.
 */
export async function createServerBundle(): Promise<void> {
  const folder = bundleFolder();
  if (existsSync(folder)) return;
  const workDir = `${folder}.${process.pid}.new`;
  mkdirSync(workDir, { recursive: true });
  try {
    const { build } = await import('esbuild');
    await build({
      entryPoints: [join(BUILD, 'test/harness/server-entry.js')],
      outfile: join(workDir, 'server.cjs'),
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'node20',
      // A script has no loader for import().
      supported: { 'dynamic-import': false },
      minifyWhitespace: true,
      // Nest names its providers by their classes.
      keepNames: true,
      external: [...EXTERNAL, ...NOT_INSTALLED],
      // The address of the only module that reads files beside itself.
      define: { 'import.meta.url': JSON.stringify(pathToFileURL(join(BUILD, 'libs/schema/src/migrations.js')).href) },
      logLevel: 'silent',
    });
    const { code, lines } = await runCommand(process.execPath, [SERVER_MAIN, 'compile', workDir]);
    if (code !== 0) throw new Error(`The server's bundle cannot be loaded: ${lines.join('\n')}`);
    // Another test run may have created it in the meantime.
    if (!existsSync(folder)) renameSync(workDir, folder);
    removeOthers(folder);
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
}

/** Removes the bundles of earlier builds. */
function removeOthers(folder: string): void {
  const parent = dirname(folder);
  const earlier = readdirSync(parent).filter((name) => name !== basename(folder) && !name.endsWith('.new'));
  for (const name of earlier) rmSync(join(parent, name), { recursive: true, force: true });
}

let created: Promise<string> | undefined;

/** Resolves with the folder of the bundle when the global setup, which does not wait for it, has created it. */
export function serverBundle(): Promise<string> {
  return (created ??= (async () => {
    const folder = bundleFolder();
    await eventually(() => existsSync(folder));
    return folder;
  })());
}

/**
 * Returns the folder of the bundle of what is built now, inside of the build, because the bundle reads SQL there. Its name is a hash of the build,
 * of the installed packages and of Node's version.
 */
function bundleFolder(): string {
  const hash = createHash('sha256')
    .update(BUILD)
    .update(process.version)
    .update(readFileSync(join(packageRoot(), 'package-lock.json')));
  for (const part of ['apps/server', 'libs', 'test/harness']) {
    const names = readdirSync(join(BUILD, part), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js'));
    for (const name of names.sort()) hash.update(name).update(readFileSync(join(BUILD, part, name)));
  }
  return join(BUILD, 'test/server-bundle', hash.digest('hex').slice(0, 12));
}
