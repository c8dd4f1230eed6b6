import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { HttpException, Injectable, ServiceUnavailableException } from '@nestjs/common';
import { GracefulShutdown } from '#observability';
import { credentialSignal } from './credential.js';
import { callerOf } from './route-scope.js';

/**
 * Media type and headers of Server-Sent Events. `no-transform` and `X-Accel-Buffering` keep proxies from holding events back. The OpenAPI
 * document has no schema for them: OpenAPI 3.1 cannot describe an event stream.
 */
export const EVENT_STREAM = {
  type: 'text/event-stream',
  headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' },
} as const;

/** Timeout (ms) for a client that reads nothing: it is gone, or it occupies a stream that other clients could use. */
const STALLED_CLIENT_TIMEOUT_MS = 60_000;
/** Timeout (ms) for a client to read the end of a response whose credential has ended. */
const ENDED_CREDENTIAL_TIMEOUT_MS = 1_000;
/** Maximum number of bytes buffered for a slow client, in addition to the chunk being sent. */
const BUFFER_BYTES = 16 * 1024;

/** The parts of Fastify's reply that are used here. */
export interface StreamingReply {
  readonly request: object;
  readonly raw: ServerResponse;
  code(status: number): StreamingReply;
  header(name: string, value: string): StreamingReply;
  send(body?: unknown): unknown;
}

/** A response whose body is produced while it is sent. */
export interface StreamingResponse {
  /** Kind of response, such as `event streams`, for the limit and for messages. */
  readonly kind: string;
  /** Maximum number of open responses of this kind. */
  readonly maxOpen: number;
  /** Maximum number of them that one caller may have, so that one cannot take all. While access is open, all callers are one. */
  readonly maxPerCaller: number;
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Produces the body, as fast as the client reads it. `signal` aborts when the client disconnects, when its credential ends, and when the
   * process stops: the generator then returns, or throws to tell the client that the body is incomplete.
   */
  readonly pieces: (signal: AbortSignal) => AsyncIterable<string | Buffer>;
}

/** Sends streaming responses, limits their number and memory, and ends them when the process stops. */
@Injectable()
export class StreamingResponses {
  private stopped = false;
  private readonly ends = new Set<AbortController>();
  /** Number of open responses by kind, and by kind and caller. */
  private readonly open = new Map<string, number>();

  constructor(shutdown: GracefulShutdown) {
    shutdown.register({ name: 'ending streaming responses', stop: () => this.stop() });
  }

  /** @throws HttpException 503 when the maximum number of responses of this kind is open, 429 when the caller has its maximum. */
  send(reply: StreamingReply, { kind, maxOpen, maxPerCaller, headers, pieces }: StreamingResponse): void {
    // A client that has left meanwhile would never give its response back.
    if (reply.raw.destroyed) return;
    const { actor, watch } = callerOf(reply.request);
    const ofCaller = `${kind} of ${actor}`;
    if (watch && this.countOf(ofCaller) >= maxPerCaller) {
      const detail = `This process already serves ${maxPerCaller} ${kind} to this credential, which is the maximum. Close one of them first`;
      throw new HttpException(detail, 429);
    }
    if (this.countOf(kind) >= maxOpen) {
      throw new ServiceUnavailableException(`This process already serves ${maxOpen} ${kind}, which is the maximum. Try again later`);
    }
    for (const [name, value] of Object.entries(headers)) reply.header(name, value);
    if (reply.raw.req.method === 'HEAD') {
      reply.send();
      return;
    }
    this.count(kind, 1);
    this.count(ofCaller, 1);
    const end = new AbortController();
    this.ends.add(end);
    if (this.stopped) end.abort();
    reply.raw.once('close', () => {
      this.count(kind, -1);
      this.count(ofCaller, -1);
      this.ends.delete(end);
      end.abort();
    });
    const credential = credentialSignal(reply.request, reply.raw);
    credential.addEventListener('abort', () => {
      end.abort(credential.reason);
      setTimeout(() => reply.raw.destroy(), ENDED_CREDENTIAL_TIMEOUT_MS).unref();
    });
    const source = withStalledClientTimeout(pieces(end.signal), () => reply.raw.destroy());
    reply.send(Readable.from(source, { objectMode: false, highWaterMark: BUFFER_BYTES }));
  }

  private countOf(name: string): number {
    return this.open.get(name) ?? 0;
  }

  private count(name: string, change: 1 | -1): void {
    const count = this.countOf(name) + change;
    if (count > 0) this.open.set(name, count);
    else this.open.delete(name);
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
