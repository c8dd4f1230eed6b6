import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { eventually } from './eventually.js';

interface KeyValue {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number | string };
}

/** The parts of OTLP's JSON that the tests read. */
interface ExportRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: readonly KeyValue[];
  readonly status: { readonly code: number };
}

/** The numbers of OTLP's kinds of spans. */
const KINDS: Readonly<Record<number, 'SERVER' | 'PRODUCER' | 'CONSUMER'>> = { 2: 'SERVER', 4: 'PRODUCER', 5: 'CONSUMER' };

/** A span as it was exported. */
export interface CollectedSpan extends Omit<OtlpSpan, 'kind' | 'attributes' | 'status'> {
  readonly kind: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly failed: boolean;
  /** The attributes of the process that exported it. */
  readonly resource: Readonly<Record<string, unknown>>;
}

/** An OTLP/HTTP endpoint for traces in JSON. */
export class TraceCollector {
  /** The collector's answer to an export: it takes it, refuses it with 400, or never answers. */
  mode: 'takes' | 'refuses' | 'hangs' = 'takes';
  /** The texts of all exports. */
  readonly bodies: string[] = [];
  /** The paths and the headers `authorization` of all exports. */
  readonly requests: { readonly path: string; readonly authorization: string | undefined }[] = [];
  private readonly unanswered: ServerResponse[] = [];
  private readonly spans: CollectedSpan[] = [];

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async start(): Promise<TraceCollector> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const collector = new TraceCollector(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('request', (request, response) => {
      collector.requests.push({ path: request.url!, authorization: request.headers.authorization });
      void text(request).then((body) => collector.answer(body, response));
    });
    return collector;
  }

  /** Number of exports that wait for an answer. */
  get hanging(): number {
    return this.unanswered.length;
  }

  /** Returns the spans of a trace so far. */
  of(traceId: string): CollectedSpan[] {
    return this.spans.filter((span) => span.traceId === traceId);
  }

  /** Resolves with the spans of a trace when they satisfy the condition. */
  async trace(traceId: string, isComplete: (spans: readonly CollectedSpan[]) => boolean): Promise<CollectedSpan[]> {
    return eventually(() => {
      const spans = this.of(traceId);
      return isComplete(spans) ? spans : undefined;
    });
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private answer(body: string, response: ServerResponse): void {
    if (this.mode === 'hangs') return void this.unanswered.push(response);
    if (this.mode === 'refuses') return void response.writeHead(400).end();
    this.bodies.push(body);
    this.spans.push(...spansOf(JSON.parse(body) as ExportRequest));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  }
}

function spansOf({ resourceSpans }: ExportRequest): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        ...span,
        kind: KINDS[span.kind] ?? String(span.kind),
        attributes: valuesOf(span.attributes),
        failed: span.status.code === 2,
        resource: valuesOf(resource.attributes),
      })),
    ),
  );
}

function valuesOf(attributes: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, value.stringValue ?? (value.intValue === undefined ? undefined : Number(value.intValue))]),
  );
}
