/**
 * Jest's test runner for this project: like that of jest-circus, but the specs and their imports are ordinary modules of the worker, loaded
 * by Node and not in a separate realm for each file. A worker loads the server once instead of once per file (1 to 5 s of processor time
 * each), and files may share the state of a module, such as a started application (world.ts).
 */
import { createRequire, register } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ModuleMocker } from 'jest-mock';

const require = createRequire(import.meta.url);
const ADAPTER = join(dirname(require.resolve('jest-circus/runner')), 'jestAdapterInit.js');
/** The message with which jest-worker's parent requests a worker to end. */
const CHILD_MESSAGE_END = 2;

register('./typescript-loader.mjs', import.meta.url);
process.setSourceMapsEnabled(true);
// Shared applications would keep the worker alive; global-teardown.ts ends their databases and Kafka.
process.on('message', ([type]) => {
  if (type === CHILD_MESSAGE_END) process.exit();
});

export default async function runSpec(globalConfig, config, environment, runtime, testPath, sendMessageToJest) {
  // Jest replaces it by a version that knows only the modules that Jest loaded.
  Error.prepareStackTrace = undefined;
  const { initialize, runAndTransformResultsToJestFormat } = freshAdapter();
  const mocker = new ModuleMocker(globalThis);
  await initialize({
    config,
    environment,
    globalConfig,
    localRequire: require,
    parentProcess: process,
    runtime,
    sendMessageToJest,
    setGlobalsForRuntime: (globals) => {
      globalThis[Symbol.for('jest-globals')] = { ...globals, jest: { fn: mocker.fn.bind(mocker), spyOn: mocker.spyOn.bind(mocker) } };
    },
    testPath,
  });
  try {
    await import(pathToFileURL(testPath).href);
    const results = await runAndTransformResultsToJestFormat({ config, globalConfig, testPath });
    return { ...results };
  } finally {
    mocker.restoreAllMocks();
  }
}

/** Loads jest-circus again for each file, because it keeps a file's tests in its module. */
function freshAdapter() {
  delete require.cache[ADAPTER];
  delete globalThis[Symbol.for('EVENT_HANDLERS')];
  return require(ADAPTER);
}
