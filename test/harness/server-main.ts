/**
 * The main module of a test's server process. Arguments: none, to run the built server; `run` and the folder of its bundle (server-bundle.ts);
 * `compile` and that folder, to store there what V8 has compiled of it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Script } from 'node:vm';

type Entry = typeof import('./server-entry.js');

const [task, folder] = process.argv.slice(2) as ['run' | 'compile' | undefined, string];
if (task === undefined) await (await import('./server-entry.js')).run();
if (task === 'run') await evaluate(readScript(readFileSync(join(folder, 'code')))).run();
if (task === 'compile') {
  const script = readScript();
  await evaluate(script).loadServer();
  writeFileSync(join(folder, 'code'), script.createCachedData());
}

function readScript(cachedData?: Buffer): Script {
  const filename = join(folder, 'server.cjs');
  return new Script(`(function (exports, require, module) {${readFileSync(filename, 'utf8')}\n})`, {
    filename,
    cachedData,
  });
}

function evaluate(script: Script): Entry {
  const module = { exports: {} };
  const run = script.runInThisContext() as (exports: object, require: NodeJS.Require, module: object) => void;
  run(module.exports, createRequire(import.meta.url), module);
  return module.exports as Entry;
}
