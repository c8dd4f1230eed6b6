import { expect, test } from '@jest/globals';
import { DEFAULT_TIMINGS } from '#config';
import { GracefulShutdown } from './graceful-shutdown.js';
import { Health, type HealthCheck } from './health.js';

function healthOf(startupMs: number): { health: Health; shutdown: GracefulShutdown; down: Set<string> } {
  const shutdown = new GracefulShutdown();
  const observability = { ...DEFAULT_TIMINGS.observability, startupMs };
  const health = new Health(shutdown, { ...DEFAULT_TIMINGS, observability });
  const down = new Set<string>();
  const checks: Pick<HealthCheck, 'name' | 'critical' | 'awaitedAtStart'>[] = [
    { name: 'db1', critical: true },
    { name: 'kafka', critical: false },
    { name: 'sync', critical: false, awaitedAtStart: true },
  ];
  for (const check of checks) {
    health.register({ ...check, check: () => (down.has(check.name) ? Promise.reject(new Error('down')) : Promise.resolve({})) });
  }
  return { health, shutdown, down };
}

async function statusOf(health: Health): Promise<[string, boolean]> {
  const { status } = await health.report();
  return [status, health.mayBeInUse];
}

test('a process is starting until its role has been up once, and degraded when the role fails later', async () => {
  const { health, down } = healthOf(60_000);
  expect(health.mayBeInUse).toBe(true);
  down.add('sync').add('kafka');
  expect(await statusOf(health)).toEqual(['starting', false]);
  down.clear();
  expect(await statusOf(health)).toEqual(['ok', true]);
  down.add('sync').add('kafka');
  expect(await statusOf(health)).toEqual(['degraded', true]);
});

test('a process whose role does not come up is degraded after the startup time', async () => {
  const { health, down } = healthOf(0);
  down.add('sync');
  expect(await statusOf(health)).toEqual(['degraded', true]);
});

test('a dependency that fails at the start does not keep the process starting', async () => {
  const { health, down } = healthOf(60_000);
  down.add('kafka');
  expect(await statusOf(health)).toEqual(['degraded', true]);
});

test('a critical failure and the end of the process come before everything else', async () => {
  const { health, shutdown, down } = healthOf(60_000);
  down.add('db1').add('sync');
  expect(await statusOf(health)).toEqual(['unavailable', false]);
  shutdown.announce();
  expect(await health.report()).toEqual({ status: 'stopping', checks: {} });
});
