import { Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyAdapter } from '@nestjs/platform-fastify';
import { normalised } from './replica-read.query.js';
import { ReplicaWaiter } from './replica-waiter.js';

/** Longest that a request waits, s. */
const LONGEST_WAIT_S = 30;

/**
 * Seconds of `Prefer: wait=5` (RFC 7240), at most {@link LONGEST_WAIT_S}. Undefined when it is not asked for, or not understood: a
 * preference is never an error.
 */
export function preferredWait(header: string | string[] | undefined): number | undefined {
  const preferences = [header ?? []].flat().flatMap((line) => line.split(','));
  for (const preference of preferences) {
    const match = /^\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;|$)/i.exec(preference);
    if (match) return Math.min(Number(match[1]), LONGEST_WAIT_S);
  }
  return undefined;
}

/** What of Fastify's request and reply is needed here. */
interface Request {
  readonly method: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly params: Readonly<Record<string, string>>;
  readonly routeOptions: { readonly url?: string };
}
interface Reply {
  readonly raw: NodeJS.EventEmitter;
  readonly statusCode: number;
  code(status: number): Reply;
  header(name: string, value: string): Reply;
  getHeader(name: string): unknown;
}

/** Where a subscription is written. */
const WRITES = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
const RESOURCE = /^\/(subscriptions|subscription_status)(\/:email)?$/;

/** A write that has been committed: its row's key, and the version that it is to have in DB2. */
interface Written {
  readonly email: string;
  readonly version: number;
}

/**
 * `Prefer: wait=5` on a write: it is answered when DB2 has it, or something newer of that email. What is not there by then is answered
 * with 202 and where to look: it is committed all the same, and DB2 being down is no error of the write. Without DB2 the preference is
 * not applied. For all write routes of the resource.
 *
 * A hook, not an interceptor: with one, Nest wraps the answer of each request in observables, whether it waits or not, 30 µs of it.
 */
@Injectable()
export class PreferWait {
  /** So early that it comes before the hooks that see an answer last. */
  constructor(
    private readonly arrivals: ReplicaWaiter,
    { httpAdapter }: HttpAdapterHost<FastifyAdapter>,
  ) {
    httpAdapter.getInstance().addHook('onSend', (request, reply, payload, done) => {
      const waitS = request.headers['prefer'] === undefined ? undefined : this.waitOf(request as Request);
      if (waitS === undefined) done(null, payload);
      else this.waitFor(request as Request, reply as Reply, payload, waitS).then((body) => done(null, body), done);
    });
  }

  private waitOf({ method, headers, routeOptions }: Request): number | undefined {
    if (!WRITES.has(method) || !RESOURCE.test(routeOptions.url ?? '') || !this.arrivals.known) return undefined;
    return preferredWait(headers['prefer']);
  }

  private async waitFor(request: Request, reply: Reply, body: unknown, waitS: number): Promise<unknown> {
    if (reply.statusCode >= 300) return body;
    const left = new AbortController();
    const onClose = (): void => left.abort();
    reply.raw.once('close', onClose);
    try {
      const written = writtenBy(request, reply, body);
      if (written && (await this.arrivals.wait(written.email, written.version, waitS * 1_000, left.signal))) {
        reply.header('preference-applied', `wait=${waitS}`);
        return body;
      }
      const { url } = request.routeOptions;
      const email = written?.email ?? request.params['email'] ?? '';
      return accepted(reply, body, `/${RESOURCE.exec(url ?? '')![1]}/${encodeURIComponent(email)}/replication`, email);
    } finally {
      reply.raw.removeListener('close', onClose);
    }
  }
}

/** From the answer: its ETag is the version, also a deletion's. */
function writtenBy({ params }: Request, reply: Reply, body: unknown): Written | undefined {
  const version = Number(/^"(\d+)"$/.exec(String(reply.getHeader('etag')))?.[1]);
  return version > 0 ? { email: emailIn(body) ?? normalised(params['email'] ?? ''), version } : undefined;
}

/** 202, with the resource as it was to be answered. Link's relation is that of RFC 8631. */
function accepted(reply: Reply, body: unknown, place: string, email: string): string {
  const resource = typeof body === 'string' && body.startsWith('{') ? body.slice(1, -1) : `"email":${JSON.stringify(email)}`;
  reply.code(202).header('link', `<${place}>; rel="status"`).header('content-type', 'application/json; charset=utf-8');
  return `{${resource},"replication":${JSON.stringify(place)}}`;
}

function emailIn(body: unknown): string | undefined {
  return typeof body === 'string' && body.startsWith('{') ? (JSON.parse(body) as { email?: string }).email : undefined;
}
