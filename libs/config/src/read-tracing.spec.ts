import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { temporaryFolder } from '../../../test/harness/temporary-folder.js';
import { type Environment, Reader } from './environment.js';
import { readTracing } from './read-tracing.js';

const folder = temporaryFolder('subscription-sync-tracing-');
afterAll(() => rmSync(folder, { recursive: true }));

const ON = { OTEL_TRACES_EXPORTER: 'otlp' };
const DEFAULTS = { protocol: 'http/protobuf', headers: undefined, serviceName: 'subscription-sync' };

test.each<[string, Environment]>([
  ['by default', {}],
  ['without an exporter', { OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }],
  ['while the SDK is disabled', { ...ON, OTEL_SDK_DISABLED: 'TRUE' }],
  ['and a wrong value is no problem then', { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_TRACES_SAMPLER_ARG: 'many' }],
])('tracing is off %s', (_, environment) => {
  const read = new Reader(environment);
  expect(readTracing(read)).toBeUndefined();
  expect(read.problems).toEqual([]);
});

test.each<[string, Environment]>([
  ['its exporter', ON],
  ['an endpoint for all signals', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }],
  ['an endpoint for traces', { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://collector/v1/traces' }],
])('tracing is switched on by %s', (_, environment) => {
  const read = new Reader(environment);
  expect(readTracing(read)).toEqual(DEFAULTS);
  expect(read.problems).toEqual([]);
});

test('the protocol for traces and the headers of a file are read', () => {
  const file = join(folder, 'headers');
  writeFileSync(file, 'authorization=Basic%20c2VjcmV0\n');
  const environment = {
    ...ON,
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0.01',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json',
    OTEL_EXPORTER_OTLP_HEADERS_FILE: file,
  };
  const read = new Reader(environment);
  expect(readTracing(read)).toEqual({ ...DEFAULTS, protocol: 'http/json', headers: 'authorization=Basic%20c2VjcmV0' });
  expect(read.problems).toEqual([]);
});

test.each<[string, Environment, string]>([
  ['an exporter', { OTEL_TRACES_EXPORTER: 'zipkin' }, 'OTEL_TRACES_EXPORTER must be one of otlp, none, but is "zipkin"'],
  [
    'a protocol',
    { ...ON, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
    'OTEL_EXPORTER_OTLP_PROTOCOL must be one of http/protobuf, http/json, but is "grpc"',
  ],
  [
    'an endpoint',
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' },
    'OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL, such as http://collector:4318, but is "collector:4318"',
  ],
  [
    'a sampler',
    { ...ON, OTEL_TRACES_SAMPLER: 'ratio' },
    'OTEL_TRACES_SAMPLER must be one of always_on, parentbased_always_on, always_off, parentbased_always_off, traceidratio, ' +
      'parentbased_traceidratio, but is "ratio"',
  ],
  [
    'an attribute',
    { ...ON, OTEL_RESOURCE_ATTRIBUTES: 'team=billing,production' },
    'OTEL_RESOURCE_ATTRIBUTES must list attributes as name=value, comma-separated, but has "production"',
  ],
  ['a share', { ...ON, OTEL_TRACES_SAMPLER_ARG: '1%' }, 'OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, but is "1%"'],
])('%s that cannot be used is a problem', (_, environment, problem) => {
  const read = new Reader(environment);
  readTracing(read);
  expect(read.problems).toEqual([problem]);
});
