import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { readinessOf } from './eventually.js';

const PROBE_INTERVAL_MS = 100;

interface Target {
  readonly url: string;
  readonly agent: Agent;
  ready: boolean;
}

/**
 * Sends requests to the ready processes in turn, over keep-alive connections, as a Kubernetes service with a readiness probe of 100 ms
 * would. A failed request is an error for its caller, with one exception: when a keep-alive connection ends before any byte of a
 * response, the request is repeated once, as HTTP clients do, and counted.
 */
export class Balancer {
  private readonly targets = new Set<Target>();
  private readonly ended = new AbortController();
  private next = 0;
  /** Number of keep-alive connections that ended during a request, before any byte of a response. */
  closedConnections = 0;

  /** Returns the next process that is ready. */
  add(url: string): void {
    const target: Target = { url, agent: new Agent({ keepAlive: true }), ready: true };
    this.targets.add(target);
    void this.probe(target);
  }

  remove(url: string): void {
    for (const target of this.targets) {
      if (target.url === url && this.targets.delete(target)) target.agent.destroy();
    }
  }

  close(): void {
    this.ended.abort();
    for (const { url } of this.targets) this.remove(url);
  }

  /** Sends a request. @returns the status. @throws the error of the connection, or an error when no process is ready. */
  async put(path: string, body: unknown): Promise<number> {
    try {
      return await this.send(this.pick(), path, body);
    } catch (error) {
      if (!(error instanceof ClosedConnectionError)) throw error;
      this.closedConnections += 1;
      return this.send(this.pick(), path, body);
    }
  }

  private pick(): Target {
    const ready = [...this.targets].filter((target) => target.ready);
    this.next += 1;
    const target = ready[this.next % ready.length];
    if (!target) throw new Error('No process is ready');
    return target;
  }

  private send({ url, agent }: Target, path: string, body: unknown): Promise<number> {
    return new Promise((resolve, reject) => {
      const sent = request(`${url}${path}`, { agent, method: 'PUT', headers: { 'content-type': 'application/json' } }, (response) => {
        response
          .on('error', reject)
          .on('end', () => resolve(response.statusCode!))
          .resume();
      });
      sent.on('error', (error) => reject(sent.reusedSocket ? new ClosedConnectionError(error.message) : error));
      sent.end(JSON.stringify(body));
    });
  }

  private async probe(target: Target): Promise<void> {
    while (this.targets.has(target)) {
      target.ready = await readinessOf(target.url).then(
        ({ code }) => code === 200,
        () => false,
      );
      await delay(PROBE_INTERVAL_MS, undefined, { signal: this.ended.signal }).catch(() => undefined);
    }
  }
}

class ClosedConnectionError extends Error {}

/** An event of a Server-Sent Events stream. */
export interface ReceivedEvent {
  readonly id: string | undefined;
  readonly data: string | undefined;
}

/** A client of Server-Sent Events that can stop at any event. */
export class EventSource {
  private constructor(
    readonly response: Response,
    private readonly left: AbortController,
  ) {}

  static async open(url: string, lastEventId?: string): Promise<EventSource> {
    const left = new AbortController();
    const headers = { accept: 'text/event-stream', ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }) };
    return new EventSource(await fetch(url, { headers, signal: left.signal }), left);
  }

  close(): void {
    this.left.abort();
  }

  /** Yields events until the server ends the stream or `close` is called. Comments and heartbeats are skipped. */
  async *events(): AsyncGenerator<ReceivedEvent, void, void> {
    let text = '';
    try {
      for await (const chunk of this.response.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        const frames = text.split('\n\n');
        text = frames.pop()!;
        for (const frame of frames) {
          const field = (name: string): string | undefined =>
            frame
              .split('\n')
              .filter((line) => line.startsWith(`${name}: `))
              .map((line) => line.slice(name.length + 2))
              .join('\n') || undefined;
          if (field('data') !== undefined) yield { id: field('id'), data: field('data') };
        }
      }
    } catch (error) {
      if (!this.left.signal.aborted) throw error;
    }
  }

  /** Returns the next `count` events. */
  async take(count: number): Promise<ReceivedEvent[]> {
    const taken: ReceivedEvent[] = [];
    for await (const event of this.events()) {
      taken.push(event);
      if (taken.length === count) break;
    }
    return taken;
  }
}
