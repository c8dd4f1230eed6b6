import { setTimeout as delay } from 'node:timers/promises';
import type { ServicePipeline } from '../pipeline/service-pipeline.js';

/** Starts a run and waits for its end. Returns its duration (s). */
export async function finishedIn(
  { url, db1 }: ServicePipeline,
  kind: 'runs' | 'resyncs',
  request: object,
  outcome: string,
): Promise<number> {
  const started = performance.now();
  const response = await fetch(`${url}/reconciliation/${kind}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
  });
  const { id } = (await response.json()) as { id: number };
  for (;;) {
    const { rows } = await db1.query<{ outcome: string | null }>(
      'SELECT outcome FROM subscription_sync.reconciliation_runs WHERE id = $1',
      [id],
    );
    const ended = rows[0]!.outcome;
    if (ended === outcome) return (performance.now() - started) / 1_000;
    if (ended !== null) throw new Error(`The run ended with ${ended}, not ${outcome}`);
    await delay(20);
  }
}
