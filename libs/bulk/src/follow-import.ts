import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import type { ImportView } from './bulk.dto.js';
import { ImportJobs } from './import-jobs.js';

const LOOK_EVERY_MS = 500;
const HEARTBEAT_MS = 15_000;

/** The progress of a job as Server-Sent Events: the whole job each time, without its errors until it ends. */
@Injectable()
export class FollowImport {
  constructor(private readonly jobs: ImportJobs) {}

  /** From `first` on; ends when the job has, or when `signal` aborts. The job may run in another process. */
  async *stream(first: ImportView, signal: AbortSignal): AsyncGenerator<string, void, void> {
    let job = first;
    let toldAt = performance.now();
    yield `retry: 1000\n\n${frame(job)}`;
    while (job.state === 'running') {
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const now = await this.jobs.get(job.id).catch(() => undefined);
      if (now && (now.state !== job.state || now.lines + now.created + now.updated !== job.lines + job.created + job.updated))
        yield frame(now);
      else if (performance.now() - toldAt < HEARTBEAT_MS) continue;
      else yield ': alive\n\n';
      toldAt = performance.now();
      job = now ?? job;
    }
  }
}

function frame({ errors, ...job }: ImportView): string {
  return `data: ${JSON.stringify(job.state === 'running' ? job : { ...job, errors })}\n\n`;
}
