import { expect, test } from '@jest/globals';
import { type Backoff, backoffMs, type Clock, retry, sleep } from './backoff.js';

const BACKOFF: Backoff = { firstMs: 100, longestMs: 500 };

/** A clock that advances only during a sleep, or when a test advances it. */
class TestClock implements Clock {
  time = 0;
  readonly pauses: number[] = [];

  now(): number {
    return this.time;
  }

  sleep(ms: number): Promise<void> {
    this.pauses.push(ms);
    this.time += ms;
    return Promise.resolve();
  }
}

/** An attempt that fails `times` times, each after `workMs`, and then succeeds. */
function failing(times: number, clock: TestClock, workMs: (attempt: number) => number = () => 0): () => Promise<string> {
  let attempts = 0;
  return () => {
    attempts += 1;
    clock.time += workMs(attempts);
    return attempts > times ? Promise.resolve('done') : Promise.reject(new Error(`failure ${attempts}`));
  };
}

test('returns the result of the first attempt that succeeds, after pauses that double up to the longest', async () => {
  const clock = new TestClock();
  const failures: [string, number][] = [];
  const onFailure = ({ message }: Error, pauseMs: number): void => void failures.push([message, pauseMs]);
  const { signal } = new AbortController();
  expect(await retry(failing(5, clock), { backoff: BACKOFF, signal, onFailure }, clock)).toBe('done');
  expect(clock.pauses).toEqual([100, 200, 400, 500, 500]);
  expect(failures).toEqual(clock.pauses.map((pause, index) => [`failure ${index + 1}`, pause]));
});

test('starts with the first pause again after an attempt that worked for longer than resetAfterMs', async () => {
  const clock = new TestClock();
  const { signal } = new AbortController();
  const attempt = failing(5, clock, (number) => (number === 4 ? 1_001 : 1_000));
  await retry(attempt, { backoff: BACKOFF, signal, onFailure: () => undefined, resetAfterMs: 1_000 }, clock);
  expect(clock.pauses).toEqual([100, 200, 400, 100, 200]);
});

test('waits for an asynchronous onFailure before the pause', async () => {
  const clock = new TestClock();
  const steps: string[] = [];
  const onFailure = async (): Promise<void> => {
    await Promise.resolve();
    steps.push('cleaned up');
  };
  clock.sleep = () => {
    steps.push('paused');
    return Promise.resolve();
  };
  await retry(failing(1, clock), { backoff: BACKOFF, signal: new AbortController().signal, onFailure }, clock);
  expect(steps).toEqual(['cleaned up', 'paused']);
});

test('rejects with the reason of an abort: before the first attempt, during an attempt and during a pause', async () => {
  const clock = new TestClock();
  const reason = new Error('the process is stopping');
  const abort = (controller: AbortController): void => controller.abort(reason);
  const failures: Error[] = [];
  const options = (signal: AbortSignal): Parameters<typeof retry>[1] => ({
    backoff: BACKOFF,
    signal,
    onFailure: (error) => void failures.push(error),
  });

  const before = new AbortController();
  abort(before);
  await expect(retry(() => Promise.reject(new Error('never called')), options(before.signal), clock)).rejects.toBe(reason);

  const during = new AbortController();
  const interrupted = (): Promise<never> => {
    abort(during);
    return Promise.reject(new Error('interrupted'));
  };
  await expect(retry(interrupted, options(during.signal), clock)).rejects.toBe(reason);
  expect(failures).toEqual([]);

  const pausing = new AbortController();
  clock.sleep = () => {
    abort(pausing);
    return Promise.resolve();
  };
  await expect(retry(failing(1, clock), options(pausing.signal), clock)).rejects.toBe(reason);
  expect(failures).toHaveLength(1);
});

test('jitter shortens a pause by up to half', () => {
  const backoff = { ...BACKOFF, jitter: true };
  expect(backoffMs(backoff, 3, () => 0)).toBe(200);
  expect(backoffMs(backoff, 3, () => 1)).toBe(400);
  expect(backoffMs(backoff, 2_000, () => 1)).toBe(500);
});

test('sleep ends early, without an error, when its signal aborts', async () => {
  const controller = new AbortController();
  const slept = sleep(3_600_000, controller.signal);
  controller.abort();
  await expect(slept).resolves.toBeUndefined();
  await expect(sleep(3_600_000, controller.signal)).resolves.toBeUndefined();
});
