import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Role } from '#config';
import { eventually } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { temporaryFolder } from '../harness/temporary-folder.js';
import { type CollectedSpan, TraceCollector } from '../harness/trace-collector.js';
import { World } from '../harness/world.js';

const ROLES = ['api', 'sync', 'replica'] as const satisfies readonly Role[];
const folder = temporaryFolder('subscription-sync-traces-');

let collector: TraceCollector;
let world: World;
let servers: Record<Role, ServerProcess>;

beforeAll(async () => {
  collector = await TraceCollector.start();
  world = await World.create();
  const headers = join(folder, 'headers');
  writeFileSync(headers, 'authorization=Bearer%20secret\n');
  const env = {
    LOG_LEVEL: 'info',
    OTEL_TRACES_EXPORTER: 'otlp',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_EXPORTER_OTLP_HEADERS_FILE: headers,
    OTEL_EXPORTER_OTLP_TIMEOUT: '60000',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
    OTEL_BSP_SCHEDULE_DELAY: '20',
    SHUTDOWN_TIMEOUT_MS: '20000',
    NODE_V8_COVERAGE: join(folder, 'on'),
  };
  const started = await Promise.all(ROLES.map((role) => ServerProcess.start({ ...world.environment([role]), ...env })));
  servers = { api: started[0]!, sync: started[1]!, replica: started[2]! };
}, 180_000);
afterAll(async () => {
  await Promise.all(Object.values(servers).map((server) => server.signal('SIGKILL')));
  await world.close();
  await collector.stop();
  rmSync(folder, { recursive: true });
});

/** Makes the trace context of a client. */
function clientContext(flags: '00' | '01' = '01'): { traceparent: string; traceId: string; spanId: string } {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { traceparent: `00-${traceId}-${spanId}-${flags}`, traceId, spanId };
}

function put(email: string, traceparent?: string): Promise<Response> {
  return fetch(`${servers.api.url}/subscriptions/${email}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', ...(traceparent === undefined ? {} : { traceparent }) },
    body: JSON.stringify({ status: 'active' }),
  });
}

/** Writes rows by SQL, in one transaction. */
async function insert(traceparent: string, ...emails: string[]): Promise<void> {
  const client = await world.db1.connect();
  try {
    await client.query('BEGIN');
    await client.query(`SELECT set_config('subscription_sync.traceparent', $1, true)`, [traceparent]);
    await client.query(`INSERT INTO subscriptions (email, status) SELECT unnest($1::text[]), 'active'`, [emails]);
    await client.query('COMMIT');
  } finally {
    client.release();
  }
}

const ofKind = (spans: readonly CollectedSpan[], kind: string): CollectedSpan[] => spans.filter((span) => span.kind === kind);
const isApplied = (spans: readonly CollectedSpan[]): boolean =>
  ['SERVER', 'PRODUCER', 'CONSUMER'].every((kind) => ofKind(spans, kind).length > 0);
const changesIn = (spans: readonly CollectedSpan[]): number =>
  spans.reduce((sum, { attributes }) => sum + Number(attributes['messaging.batch.message_count'] ?? 1), 0);

test('one trace goes from a request through Kafka to Database 2, over three processes', async () => {
  const client = clientContext();
  const response = await put('one@example.com', client.traceparent);
  expect(response.status).toBe(201);
  const version = Number(response.headers.get('subscription-version'));
  const spans = await collector.trace(client.traceId, isApplied);
  const [server, producer, consumer] = ['SERVER', 'PRODUCER', 'CONSUMER'].map((kind) => ofKind(spans, kind)[0]!);

  expect(spans).toHaveLength(3);
  expect([server!.parentSpanId, producer!.parentSpanId, consumer!.parentSpanId]).toEqual([client.spanId, server!.spanId, producer!.spanId]);
  expect(server).toMatchObject({
    name: 'PUT /subscriptions/:email',
    attributes: { 'http.request.method': 'PUT', 'http.route': '/subscriptions/:email', 'http.response.status_code': 201 },
  });
  expect(producer).toMatchObject({
    name: `send ${world.topic}`,
    attributes: { 'messaging.system': 'kafka', 'messaging.destination.name': world.topic, 'subscription_sync.version': version },
  });
  expect(consumer).toMatchObject({
    name: `process ${world.topic}`,
    attributes: { 'messaging.consumer.group.name': world.name, 'subscription_sync.version': version },
  });
  expect(new Set(spans.map(({ resource }) => resource['service.instance.id'])).size).toBe(3);
  expect(server!.resource).toMatchObject({ 'service.name': 'subscription-sync', 'deployment.environment.name': 'test' });

  const line = await eventually(() => servers.api.output.split('\n').find((text) => text.includes(client.traceId)));
  expect(JSON.parse(line)).toMatchObject({ msg: 'request', trace_id: client.traceId, span_id: server!.spanId });
});

test('exports have the headers of the file, and go to the path of the standard', () => {
  expect(collector.requests.at(-1)).toEqual({ path: '/v1/traces', authorization: 'Bearer secret' });
});

test('a transaction of another program is traced by its traceparent, with one span for its rows in each batch', async () => {
  const client = clientContext();
  await insert(client.traceparent, 'two@example.com', 'three@example.com', 'four@example.com');
  const spans = await collector.trace(client.traceId, (found) => changesIn(ofKind(found, 'CONSUMER')) === 3);
  const [producers, consumers] = [ofKind(spans, 'PRODUCER'), ofKind(spans, 'CONSUMER')];
  expect(changesIn(producers)).toBe(3);
  expect(producers.map(({ parentSpanId }) => parentSpanId)).toEqual(producers.map(() => client.spanId));
  const sent = new Set(producers.map(({ spanId }) => spanId));
  expect(consumers.filter(({ parentSpanId }) => !sent.has(parentSpanId!))).toEqual([]);
});

test('a trace that the client does not sample has no spans, and its context is kept with the change', async () => {
  const [unsampled, sampled] = [clientContext('00'), clientContext()];
  await put('five@example.com', unsampled.traceparent);
  await insert(unsampled.traceparent, 'six@example.com');
  // Whatever a program sets: the flags are right, the rest is not.
  await insert(`${'six@example.com'.padEnd(53, '-')}01`, 'seven@example.com');
  await put('five@example.com', sampled.traceparent);
  await put('eight@example.com', sampled.traceparent);
  await collector.trace(sampled.traceId, isApplied);
  expect(collector.of(unsampled.traceId)).toEqual([]);
  const { rows } = await world.db1.query(`SELECT traceparent FROM subscription_sync.changes WHERE email = 'five@example.com'`);
  expect(rows).toEqual([{ traceparent: unsampled.traceparent }]);
});

test('the span of a request that the service could not do has the status of an error, and that of a refused request has not', async () => {
  const [client, refused] = [clientContext(), clientContext()];
  await world.db1.query(`
    CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken' USING ERRCODE = 'XX000'; END $$;
    CREATE TRIGGER break BEFORE INSERT ON subscriptions FOR EACH ROW WHEN (new.email = 'broken@example.com') EXECUTE FUNCTION break()`);
  const { status } = await put('broken@example.com', client.traceparent);
  expect(status).toBeGreaterThanOrEqual(500);
  expect((await put('no-email', refused.traceparent)).status).toBe(400);
  const hasServer = (spans: readonly CollectedSpan[]): boolean => ofKind(spans, 'SERVER').length > 0;
  expect(await collector.trace(client.traceId, hasServer)).toEqual([
    expect.objectContaining({ failed: true, attributes: expect.objectContaining({ 'error.type': String(status) }) }),
  ]);
  expect(await collector.trace(refused.traceId, hasServer)).toEqual([expect.objectContaining({ failed: false })]);
});

test('no email is exported, whatever the request', async () => {
  const client = clientContext();
  // Probes have no spans.
  await fetch(`${servers.api.url}/health/live`, { headers: { traceparent: client.traceparent } });
  for (const path of ['/nowhere/nine@example.com', '/subscriptions?email=nine@example.com', '/subscriptions/nine@example.com/history']) {
    await fetch(servers.api.url + path, { headers: { traceparent: client.traceparent, 'user-agent': 'nine@example.com' } });
  }
  const spans = await collector.trace(client.traceId, (found) => found.length === 3);
  expect(spans.map(({ name }) => name).sort()).toEqual(['GET', 'GET /subscriptions', 'GET /subscriptions/:email/history']);
  expect(collector.bodies.join('\n')).not.toMatch(/@|%40|example\.com/);
});

test('a collector that refuses or hangs delays neither requests, nor replication, nor a stop', async () => {
  collector.mode = 'refuses';
  await put('ten@example.com');
  await eventually(() => servers.api.output.includes('Traces were not exported: '));
  collector.mode = 'hangs';
  for (let n = 0; n < 20; n += 1) expect((await put(`n${n}@example.com`)).status).toBe(201);
  await eventually(() => collector.hanging > 0);
  await eventually(async () => (await world.db2.query(`SELECT FROM subscriptions WHERE email = 'n19@example.com'`)).rowCount === 1);
  const codes = await Promise.all(Object.values(servers).map((server) => server.signal('SIGTERM')));
  expect(codes).toEqual([0, 0, 0]);
});

test("while tracing is off, nothing is sent and OpenTelemetry's SDK is not loaded", async () => {
  const env = {
    OTEL_SDK_DISABLED: 'true',
    OTEL_TRACES_EXPORTER: 'otlp',
    OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/off`,
    NODE_V8_COVERAGE: join(folder, 'off'),
  };
  const server = await ServerProcess.start({ ...world.environment(['api']), ...env });
  const context = clientContext();
  const response = await fetch(`${server.url}/subscriptions/one@example.com`, { headers: { traceparent: context.traceparent } });
  expect(response.status).toBe(200);
  await server.signal('SIGTERM');
  expect(sdkModules('off')).toEqual([]);
  expect(sdkModules('on')).not.toEqual([]);
  expect(collector.requests.filter(({ path }) => path.startsWith('/off'))).toEqual([]);
});

/** Returns the modules of the SDK that processes loaded, as Node's coverage lists them when a process ends. prom-client loads the API's. */
function sdkModules(processes: string): string[] {
  const files = readdirSync(join(folder, processes));
  expect(files).not.toEqual([]);
  const urls = files.flatMap((file) => {
    const { result } = JSON.parse(readFileSync(join(folder, processes, file), 'utf8')) as { result: { url: string }[] };
    return result.map(({ url }) => url);
  });
  return urls.filter((url) => /\/@opentelemetry\/(?!api\/)/.test(url));
}
