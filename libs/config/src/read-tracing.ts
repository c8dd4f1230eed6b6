import { type Reader, secretText } from './environment.js';
import { TRACE_PROTOCOLS, type TracingSettings } from './settings.js';

const SAMPLERS = ['always_on', 'always_off', 'traceidratio'].flatMap((name) => [name, `parentbased_${name}`]);
const ENDPOINTS = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'];
const HEADERS = 'OTEL_EXPORTER_OTLP_HEADERS';
const RATIO = 'OTEL_TRACES_SAMPLER_ARG';

/**
 * Reads whether and how traces are exported, and checks the variables that OpenTelemetry's SDK reads by itself: it ignores wrong values without a
 * word. Returns undefined while tracing is off. Wrong values are no problem then, because these variables may be set for all programs of a cluster.
 */
export function readTracing(read: Reader): TracingSettings | undefined {
  const isOn = isSwitchedOn(read);
  const problems = read.problems.length;
  const settings = readValues(read);
  if (isOn) return settings;
  read.problems.splice(problems);
  return undefined;
}

/** The standard's default exporter is `otlp`. It counts only with an endpoint, so that a process without any of the variables sends nothing. */
function isSwitchedOn(read: Reader): boolean {
  const isDisabled = read.text('OTEL_SDK_DISABLED', 'false').toLowerCase() === 'true';
  const fallback = ENDPOINTS.some((name) => read.isSet(name)) ? 'otlp' : 'none';
  return read.text('OTEL_TRACES_EXPORTER', fallback) !== 'none' && !isDisabled;
}

function readValues(read: Reader): TracingSettings {
  read.oneOf('OTEL_TRACES_EXPORTER', ['otlp', 'none'], 'otlp');
  for (const name of ENDPOINTS) checkEndpoint(read, name);
  read.oneOf('OTEL_TRACES_SAMPLER', SAMPLERS, 'parentbased_always_on');
  checkRatio(read);
  read.file('OTEL_EXPORTER_OTLP_CERTIFICATE');
  read.each('OTEL_RESOURCE_ATTRIBUTES', (word) => /^[^=]+=[^=]+$/.test(word), 'attributes as name=value');
  const forTraces = 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL';
  return {
    protocol: read.oneOf(read.isSet(forTraces) ? forTraces : 'OTEL_EXPORTER_OTLP_PROTOCOL', TRACE_PROTOCOLS, 'http/protobuf'),
    headers: readHeaders(read),
    serviceName: read.text('OTEL_SERVICE_NAME', 'subscription-sync'),
  };
}

function checkEndpoint(read: Reader, name: string): void {
  const text = read.text(name, '');
  if (text === '' || (/^https?:/.test(text) && URL.canParse(text))) return;
  read.problems.push(`${name} must be an http or https URL, such as http://collector:4318, but is "${text}"`);
}

function readHeaders(read: Reader): string | undefined {
  const isSet = [HEADERS, `${HEADERS}_FILE`].map((name) => read.isSet(name)).includes(true);
  if (!isSet) return undefined;
  const problems = read.problems.length;
  const secret = read.secret(HEADERS);
  return read.problems.length > problems ? undefined : secretText(secret);
}

function checkRatio(read: Reader): void {
  const text = read.text(RATIO, '1');
  const ratio = Number(text);
  if (!(ratio >= 0 && ratio <= 1)) read.problems.push(`${RATIO} must be a number from 0 to 1, but is "${text}"`);
}
