import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import {
  type Attributes,
  type Context,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Tracer,
} from '@opentelemetry/api';
import { type ExportResult, parseKeyPairsIntoRecord, parseTraceParent } from '@opentelemetry/core';
import { defaultResource, detectResources, envDetector, resourceFromAttributes, serviceInstanceIdDetector } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace-base';
import {
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_HTTP_ROUTE,
  ATTR_SERVICE_NAME,
  ATTR_URL_SCHEME,
} from '@opentelemetry/semantic-conventions';
import type { TracingSettings } from '#config';
import type { BatchSpans, ReceivedBatch, RequestSpan, TracedRecord, Tracing } from './tracing.js';

const NAME = 'subscription-sync';
/** Minimum interval (ms) between two lines about exports that failed. */
const WARNING_INTERVAL_MS = 60_000;
/** Methods that the semantic conventions know. Another one could be any text of a client. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE']);

/**
 * Makes spans with OpenTelemetry's SDK, which reads its own variables (sampler, endpoint, limits, resource) from the process's environment. Loaded
 * only when tracing is switched on.
 */
export class OpenTelemetry implements Tracing {
  private readonly tracer: Tracer;

  private constructor(private readonly provider: BasicTracerProvider) {
    this.tracer = provider.getTracer(NAME);
  }

  /** Connects to no collector yet: the exporter does so when it has spans. */
  static async start(settings: TracingSettings): Promise<OpenTelemetry> {
    const { OTLPTraceExporter } =
      settings.protocol === 'http/json'
        ? await import('@opentelemetry/exporter-trace-otlp-http')
        : await import('@opentelemetry/exporter-trace-otlp-proto');
    const exporter = new OTLPTraceExporter(settings.headers === undefined ? {} : { headers: parseKeyPairsIntoRecord(settings.headers) });
    const detected = detectResources({ detectors: [serviceInstanceIdDetector, envDetector] });
    const provider = new BasicTracerProvider({
      resource: defaultResource()
        .merge(resourceFromAttributes({ [ATTR_SERVICE_NAME]: settings.serviceName }))
        .merge(detected),
      // It keeps 2,048 spans by default and drops others, so a collector that hangs takes neither more memory nor time.
      spanProcessors: [new BatchSpanProcessor(new ReportingExporter(exporter))],
    });
    return new OpenTelemetry(provider);
  }

  startRequest(method: string, headers: IncomingHttpHeaders): RequestSpan {
    const known = METHODS.has(method);
    // The conventions ask for url.path, too. It contains emails.
    const attributes = { [ATTR_HTTP_REQUEST_METHOD]: known ? method : '_OTHER', [ATTR_URL_SCHEME]: 'http' };
    const parent = parentOf(headers['traceparent'] as string | undefined) ?? ROOT_CONTEXT;
    const span = this.tracer.startSpan(known ? method : 'HTTP', { kind: SpanKind.SERVER, attributes }, parent);
    return new HttpSpan(span, known ? method : 'HTTP');
  }

  startSending(topic: string, records: readonly TracedRecord[]): BatchSpans | undefined {
    return this.startBatch(SpanKind.PRODUCER, 'send', records, { 'messaging.destination.name': topic });
  }

  startApplying({ topic, partition, groupId }: ReceivedBatch, records: readonly TracedRecord[]): BatchSpans | undefined {
    return this.startBatch(SpanKind.CONSUMER, 'process', records, {
      'messaging.destination.name': topic,
      'messaging.destination.partition.id': String(partition),
      'messaging.consumer.group.name': groupId,
    });
  }

  async shutDown(timeoutMs: number): Promise<void> {
    await Promise.race([this.provider.shutdown().catch(() => undefined), delay(timeoutMs, undefined, { ref: false })]);
  }

  private startBatch(
    kind: SpanKind,
    operation: 'send' | 'process',
    records: readonly TracedRecord[],
    place: Attributes & { readonly 'messaging.destination.name': string },
  ): BatchSpans | undefined {
    const versions = versionsByTrace(records);
    if (versions.size === 0) return undefined;
    const spans = new Map<string, Span>();
    for (const [traceparent, { newest, count }] of versions) {
      const parent = parentOf(traceparent);
      if (!parent) continue;
      const attributes = {
        ...place,
        'messaging.system': 'kafka',
        'messaging.operation.name': operation,
        'messaging.operation.type': operation,
        ...(count > 1 ? { 'messaging.batch.message_count': count } : {}),
        'subscription_sync.version': newest,
      };
      spans.set(traceparent, this.tracer.startSpan(`${operation} ${place['messaging.destination.name']}`, { kind, attributes }, parent));
    }
    return spans.size > 0 ? new KafkaSpans(spans) : undefined;
  }
}

class HttpSpan implements RequestSpan {
  readonly traceparent: string | undefined;
  readonly logged: RequestSpan['logged'];

  constructor(
    private readonly span: Span,
    private readonly method: string,
  ) {
    this.traceparent = contextOf(span);
    const { traceId, spanId } = span.spanContext();
    this.logged = this.traceparent === undefined ? {} : { trace_id: traceId, span_id: spanId };
  }

  end(route: string | undefined, status: number): void {
    const { span } = this;
    span.setAttribute(ATTR_HTTP_RESPONSE_STATUS_CODE, status);
    if (route !== undefined) span.updateName(`${this.method} ${route}`).setAttribute(ATTR_HTTP_ROUTE, route);
    if (status >= 500) markFailed(span, String(status));
    span.end();
  }
}

class KafkaSpans implements BatchSpans {
  constructor(private readonly spans: ReadonlyMap<string, Span>) {}

  contextOf(traceparent: string | null | undefined): string | undefined {
    const span = this.spanOf(traceparent);
    return span && contextOf(span);
  }

  fail(traceparent: string | null | undefined, type: string): void {
    const span = this.spanOf(traceparent);
    if (span) markFailed(span, type);
  }

  failAll(error: unknown): void {
    for (const span of this.spans.values()) markFailed(span, typeOf(error));
  }

  end(): void {
    for (const span of this.spans.values()) span.end();
  }

  private spanOf(traceparent: string | null | undefined): Span | undefined {
    return traceparent === undefined || traceparent === null ? undefined : this.spans.get(traceparent);
  }
}

/** Writes a line when exports fail: the SDK is silent, and an operator would look for the spans in vain. */
class ReportingExporter implements SpanExporter {
  private readonly logger = new Logger('tracing');
  private warnedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly exporter: SpanExporter) {}

  export(spans: ReadableSpan[], onResult: (result: ExportResult) => void): void {
    this.exporter.export(spans, (result) => {
      if (result.error) this.warn(result.error);
      onResult(result);
    });
  }

  shutdown(): Promise<void> {
    return this.exporter.shutdown();
  }

  private warn(error: Error & { readonly code?: string | number }): void {
    if (performance.now() - this.warnedAt < WARNING_INTERVAL_MS) return;
    this.warnedAt = performance.now();
    const reason = [error.message, error.code].filter((part) => part !== undefined && part !== '').join(', ');
    this.logger.warn({
      code: 'traces-not-exported',
      message: `Traces were not exported: ${reason}. Their spans are lost. Nothing else is affected.`,
    });
  }
}

/** Groups the records by their trace, without those whose trace is not sampled: they cost nothing more. */
function versionsByTrace(records: readonly TracedRecord[]): Map<string, { newest: number; count: number }> {
  const versions = new Map<string, { newest: number; count: number }>();
  for (const { traceparent, version = 0 } of records) {
    if (traceparent === null || traceparent === undefined || !isSampled(traceparent)) continue;
    const group = versions.get(traceparent);
    if (group) {
      group.newest = Math.max(group.newest, version);
      group.count += 1;
    } else {
      versions.set(traceparent, { newest: version, count: 1 });
    }
  }
  return versions;
}

/** Position of the flags in a traceparent of version 00. */
const FLAGS_AT = 53;

/** Whether the flags say that the trace is sampled. The rest of the text may be invalid: any program may set it. */
function isSampled(traceparent: string): boolean {
  return (Number.parseInt(traceparent.slice(FLAGS_AT, FLAGS_AT + 2), 16) & TraceFlags.SAMPLED) !== 0;
}

/** Returns the context that a valid traceparent names. */
function parentOf(traceparent: string | undefined): Context | undefined {
  const parent = traceparent === undefined ? null : parseTraceParent(traceparent);
  return parent && isSpanContextValid(parent) ? trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true }) : undefined;
}

/** Returns the traceparent of a sampled span. */
function contextOf(span: Span): string | undefined {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return (traceFlags & TraceFlags.SAMPLED) === 0 ? undefined : `00-${traceId}-${spanId}-01`;
}

function markFailed(span: Span, type: string): void {
  span.setStatus({ code: SpanStatusCode.ERROR }).setAttribute(ATTR_ERROR_TYPE, type);
}

/** Returns the error's code (an SQLSTATE, one of Node's or Kafka's) or its class. Its message may quote values. */
function typeOf(error: unknown): string {
  const { code, name } = error as { readonly code?: unknown; readonly name?: string };
  return typeof code === 'string' ? code : (name ?? 'Error');
}
