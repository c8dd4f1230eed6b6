import { expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { ReconciliationMetrics } from './reconciliation-metrics.js';
import type { Progress } from './runs.js';

const at = (compared: number): Progress => ({ position: '', compared, in_flight: 0, differing: 0, repaired: 0 });

async function comparedRows(registry: Registry): Promise<number> {
  const metric = await registry.getSingleMetric('subscription_sync_reconciled_rows_total')!.get();
  return metric.values[0]!.value;
}

test('a run that resumes from stored progress counts only the rows that are compared from there on', async () => {
  const registry = new Registry();
  const metrics = new ReconciliationMetrics(registry);
  metrics.started(at(0));
  metrics.progressed(at(4_000));
  metrics.progressed(at(12_000));
  metrics.ended();
  metrics.started(at(4_000));
  metrics.progressed(at(8_000));
  expect(await comparedRows(registry)).toBe(16_000);
});
