import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { makeKey } from '../harness/credentials.js';
import { eventually } from '../harness/eventually.js';
import { Parts } from '../harness/parts.js';
import { World } from '../harness/world.js';
import { isHelmMissing, readImage, renderChart } from './chart.js';
import { Deployment } from './deployment.js';
import { Load } from './load.js';
import { Pod } from './pod.js';
import { Service } from './service.js';
import { Timeline } from './timeline.js';

const USAGE = `npm run test:rollout -- [options]
  --summary FILE   writes the timeline and the result
Installs the Helm chart with local processes for its containers, and upgrades it under load: each role by itself, then all at once, then back.
`;
/** Interval (ms) at which pods are counted. */
const SAMPLE_INTERVAL_MS = 50;
/** Time (ms) under load before and after each upgrade. */
const STEADY_MS = 3_000;
/** Time (ms) within which Database 2 has all changes after the load. */
const EQUAL_WITHIN_MS = 30_000;

const { summary } = parse();
if (isHelmMissing()) {
  console.log('NOT TESTED: the rollout, because helm is missing. Fetch it: .ci/chart-tools.sh');
} else {
  await test();
}

async function test(): Promise<void> {
  const parts = await Parts.start();
  const world = await World.create({ parts: parts.addresses, unmigrated: true });
  const { db1, db2, kafka } = parts.addresses;
  const secrets = { 'db1-owner': { password: db1.password }, 'db2-owner': { password: db2.password } };
  const chartValues = {
    settings: {
      ...{ DB1_HOST: db1.host, DB1_PORT: db1.port, DB1_USER: db1.user, DB1_DATABASE: world.name },
      ...{ DB2_HOST: db2.host, DB2_PORT: db2.port, DB2_USER: db2.user, DB2_DATABASE: world.name },
      ...{ KAFKA_SERVER: kafka, KAFKA_TOPIC: world.topic, KAFKA_GROUP_ID: world.name, KAFKA_PARTITIONS: 4, CAPTURE_SLOT: world.name },
      // The processes' own lines are for the errors of this test.
      LOG_LEVEL: 'warn',
    },
    secrets: { DB1_PASSWORD: { name: 'db1-owner', key: 'password' }, DB2_PASSWORD: { name: 'db2-owner', key: 'password' } },
  };
  const image = readImage();
  const timeline = new Timeline();
  const installed = renderChart(chartValues, 1);
  await (await Pod.start('migrate-1', installed.migrations, image, secrets, timeline)).complete();
  const deployments = installed.deployments.map((object) => new Deployment(object, image, secrets, timeline));
  const service = new Service(deployments.find(({ name }) => name === 'api')!);
  await service.listen();
  await Promise.all(deployments.map((deployment) => deployment.start()));
  const load = new Load(service.url, world, await makeKey(world.db1, 'write'));
  const sampling = setInterval(() => {
    service.sample();
    for (const deployment of deployments) deployment.sample();
  }, SAMPLE_INTERVAL_MS);
  await load.start();
  await eventually(() => load.accepted > 100);

  const results: string[] = [];
  let revision = 1;
  const upgrade = async (title: string, values: object): Promise<void> => {
    await delay(STEADY_MS);
    load.reset();
    timeline.note(`── ${title}`);
    revision += 1;
    const rendered = renderChart(values, revision);
    await (await Pod.start(`migrate-${revision}`, rendered.migrations, image, secrets, timeline)).complete();
    const changed = await Promise.all(deployments.map((deployment) => deployment.apply(rendered.deployments)));
    await delay(STEADY_MS);
    const lowest = deployments.map(({ name, lowestReady, wanted }) => `${name} ${lowestReady} of ${wanted}`);
    for (const { name, lowestReady, wanted } of deployments) {
      if (lowestReady < wanted) timeline.fail(`${name} had ${lowestReady} ready pods of ${wanted}`);
    }
    const rolled = deployments.filter((_, index) => changed[index]).map(({ name }) => name);
    results.push(
      `${title}: pods of ${rolled.join(', ') || 'no role'} replaced; ${load.accepted} requests accepted, ${load.refused.length} refused; ` +
        `lowest number of ready pods: ${lowest.join(', ')}; longest delay of a change: ${Math.round(load.longestDelayMs)} ms`,
    );
    for (const problem of load.refused) timeline.fail(`a request was refused: ${problem}`);
  };
  const withErrorsOnly = (roles: readonly string[]): object => ({
    ...chartValues,
    ...Object.fromEntries(roles.map((role) => [role, { settings: { LOG_LEVEL: 'error' } }])),
  });
  await upgrade('the API is upgraded', withErrorsOnly(['api']));
  await upgrade('then the capture', withErrorsOnly(['api', 'sync']));
  await upgrade('then the replica', withErrorsOnly(['api', 'sync', 'replica']));
  await upgrade('all roles at once, back to the first revision', chartValues);

  await load.stop();
  await eventually(async () => (await load.countLost('db2')) === 0, EQUAL_WITHIN_MS).catch(() => undefined);
  for (const database of ['db1', 'db2'] as const) {
    const lost = await load.countLost(database);
    if (lost > 0) timeline.fail(`${database} lacks ${lost} acknowledged changes`);
  }
  clearInterval(sampling);
  await Promise.all(deployments.map((deployment) => deployment.stop()));
  service.close();

  for (const pod of deployments.flatMap(({ ended }) => ended)) {
    if (pod.exitCode !== 0) timeline.fail(`${pod.name} ended with code ${pod.exitCode}`);
    if (pod.writtenFiles.size > 0) timeline.fail(`${pod.name} writes files: ${[...pod.writtenFiles].join(', ')}`);
    for (const line of pod.errors) timeline.fail(`${pod.name} logged an error: ${line}`);
  }
  for (const { name, ended } of deployments) {
    const peak = Math.max(...ended.map(({ peakMemory }) => peakMemory)) / 1024 ** 2;
    results.push(`${name}: ${ended.length} pods ended, peak of a pod's memory ${Math.round(peak)} MiB of ${ended[0]!.memoryLimit}`);
  }
  results.push(timeline.failures.length === 0 ? 'No request was refused, and no change is lost.' : `${timeline.failures.length} failures`);
  console.log(`\n${results.join('\n')}`);
  if (summary !== undefined) writeFileSync(summary, `${[...timeline.lines, '', ...results].join('\n')}\n`);
  await world.close();
  await parts.close();
  process.exitCode = timeline.failures.length === 0 ? 0 : 1;
}

function parse(): { readonly summary: string | undefined } {
  try {
    const { values } = parseArgs({ options: { summary: { type: 'string' } } });
    return { summary: values.summary };
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}
