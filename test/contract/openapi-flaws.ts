import type { OpenAPIObject } from '@nestjs/swagger';
import { bodiesOf, nameOf, type Response, type Route, routesOf } from '../../apps/server/src/openapi.js';

/** Error statuses that every operation must describe. */
const ALWAYS = ['400', '401', '403', '429', '500', '503'];

/** Returns what the document lacks for an integrator, one line each. */
export function flawsOf(document: OpenAPIObject): string[] {
  const routes = routesOf(document);
  const ids = routes.map(({ operation }) => operation.operationId);
  const operations = routes.flatMap((route) => [
    ...flawsOfOperation(route, document).map((flaw) => `${route.method} ${route.path}: ${flaw}`),
    ...(ids.filter((id) => id === route.operation.operationId).length > 1 ? [`${route.operation.operationId}: not unique`] : []),
  ]);
  return [...operations, ...unsizedIntegers(document)];
}

/** Returns where a whole number has no size: generators of clients then choose 32 bits, which are too few for a version. */
function unsizedIntegers(value: unknown, place = ''): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const { type, format, enum: values } = value as { type?: unknown; format?: unknown; enum?: unknown };
  const isInteger = [type].flat().includes('integer');
  const own = isInteger && !values && !['int32', 'int64'].includes(String(format)) ? [`${place}: an integer without a size`] : [];
  return [...own, ...Object.entries(value).flatMap(([name, inner]) => unsizedIntegers(inner, `${place}/${name}`))];
}

function flawsOfOperation(route: Route, { components }: OpenAPIObject): string[] {
  const { summary, operationId, tags, security, deprecated, parameters = [], responses } = route.operation;
  const whole = Object.fromEntries(
    Object.entries(responses).map(([status, response]) => {
      const name = response && '$ref' in response ? nameOf(response.$ref) : undefined;
      return [status, (name === undefined ? response : components!.responses![name]) as Response];
    }),
  );
  const described = Object.keys(whole);
  return [
    ...(summary ? [] : ['no summary']),
    ...(/^[a-z][A-Za-z]+$/.test(operationId ?? '') ? [] : ['no readable operationId']),
    ...(tags?.length === 1 ? [] : ['no tag']),
    ...(security?.some((scheme) => 'api_key' in scheme) && security.some((scheme) => 'oidc_token' in scheme) ? [] : ['no security']),
    ...ALWAYS.filter((status) => !described.includes(status)).map((status) => `no ${status}`),
    ...(described.some((status) => status.startsWith('2')) ? [] : ['no success']),
    ...parameters
      .filter((parameter) => 'in' in parameter && parameter.in === 'path' && parameter.required !== true)
      .map(() => 'a path parameter may be missing'),
    ...parameters
      .filter((parameter) => 'in' in parameter && parameter.in === 'header' && parameter.required)
      .map(() => 'a required header'),
    ...bodiesOf({ ...route, operation: { ...route.operation, responses: whole } })
      .filter(({ media }) => media.example === undefined && Object.keys(media.examples ?? {}).length === 0)
      .map(({ where, type }) => `no example of ${type} (${where})`),
    ...Object.entries(whole).flatMap(([status, { description, headers, content }]) => [
      ...(description ? [] : [`${status} has no description`]),
      ...('X-Request-Id' in (headers ?? {}) ? [] : [`${status} has no X-Request-Id`]),
      ...(deprecated && !('Deprecation' in (headers ?? {}) && 'Sunset' in (headers ?? {}))
        ? [`${status} has no Deprecation and Sunset`]
        : []),
      ...(Number(status) < 400 || 'application/problem+json' in (content ?? {}) ? [] : [`${status} is not a problem`]),
      ...(['429', '503'].includes(status) && !('Retry-After' in (headers ?? {})) ? [`${status} has no Retry-After`] : []),
    ]),
  ];
}
