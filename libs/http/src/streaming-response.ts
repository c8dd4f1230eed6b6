import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { Injectable, ServiceUnavailableException } from '@nestjs/common';
import { GracefulShutdown } from '#observability';

/** Server-Sent Events. no-transform and X-Accel-Buffering: proxies must not hold events back. Without a schema in the API's description: OpenAPI 3.0 has none for events. */
export const EVENT_STREAM = {
  type: 'text/event-stream',
  headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' },
} as const;

/** A client that takes nothing for so long is gone, or holds what others could use, ms. */
const STALLED_CLIENT_TIMEOUT_MS = 60_000;
/** Bytes that wait for a slow client, beside the piece in hand. */
const BUFFER_BYTES = 16 * 1024;

/** What of Fastify's reply is needed here. */
export interface StreamingReply {
  readonly raw: ServerResponse;
  code(status: number): StreamingReply;
  header(name: string, value: string): StreamingReply;
  send(body?: unknown): unknown;
}

/** An answer without a known end. */
export interface StreamingResponse {
  /** For people, and for the bound: `event streams`. */
  readonly kind: string;
  /** Answers of the kind that are open at once, at most. */
  readonly atMost: number;
  readonly headers: Readonly<Record<string, string>>;
  /**
   * What is sent, asked for as fast as the client takes it. `signal` aborts when the client is gone and when the process stops: return
   * then, or throw, which tells the client that the answer is not whole.
   */
  readonly pieces: (signal: AbortSignal) => AsyncIterable<string | Buffer>;
}

/** Answers that are written piece by piece: bounded in number and in memory, and ended when the process stops. */
@Injectable()
export class StreamingResponses {
  private stopped = false;
  private readonly ends = new Set<AbortController>();
  private readonly open = new Map<string, number>();

  constructor(shutdown: GracefulShutdown) {
    shutdown.register({ name: 'ending streamed answers', stop: () => this.stop() });
  }

  /** @throws ServiceUnavailableException when too many of the kind are open. */
  send(reply: StreamingReply, { kind, atMost, headers, pieces }: StreamingResponse): void {
    const open = this.open.get(kind) ?? 0;
    if (open >= atMost) {
      throw new ServiceUnavailableException(
        `This process serves ${atMost} ${kind} already, as many as it may. Try again later, or elsewhere`,
      );
    }
    for (const [name, value] of Object.entries(headers)) reply.header(name, value);
    if (reply.raw.req.method === 'HEAD') {
      reply.send();
      return;
    }
    this.open.set(kind, open + 1);
    const end = new AbortController();
    this.ends.add(end);
    if (this.stopped) end.abort();
    reply.raw.once('close', () => {
      this.open.set(kind, this.open.get(kind)! - 1);
      this.ends.delete(end);
      end.abort();
    });
    const source = withStalledClientTimeout(pieces(end.signal), () => reply.raw.destroy());
    reply.send(Readable.from(source, { objectMode: false, highWaterMark: BUFFER_BYTES }));
  }

  private async stop(): Promise<void> {
    this.stopped = true;
    for (const end of this.ends) end.abort();
  }
}

async function* withStalledClientTimeout<T>(pieces: AsyncIterable<T>, giveUp: () => void): AsyncGenerator<T, void, void> {
  for await (const piece of pieces) {
    const timer = setTimeout(giveUp, STALLED_CLIENT_TIMEOUT_MS).unref();
    try {
      yield piece;
    } finally {
      clearTimeout(timer);
    }
  }
}
