import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import type { OpenAPIObject } from '@nestjs/swagger';
import { routesOf } from '../../apps/server/src/openapi.js';

interface Item {
  readonly name: string;
  readonly item?: Item[];
  readonly request?: {
    readonly method: string;
    readonly url: { readonly host: string[]; readonly path: string[] };
    readonly auth?: unknown;
  };
}

const collection = JSON.parse(readFileSync('docs/postman-collection.json', 'utf8')) as Item & {
  readonly variable: { key: string }[];
  readonly auth: unknown;
};

function requestsOf(item: Item): NonNullable<Item['request']>[] {
  return [...(item.request ? [item.request] : []), ...(item.item ?? []).flatMap(requestsOf)];
}

test('has every operation, under {{baseUrl}} and with {{apiKey}}', () => {
  const openapi = JSON.parse(readFileSync('docs/openapi.json', 'utf8')) as OpenAPIObject;
  const documented = routesOf(openapi).filter(({ path }) => !path.startsWith('/subscription_status'));
  const requests = requestsOf(collection);
  expect(requests.map(({ method, url }) => `${method} /${url.path.join('/')}`).sort()).toEqual(
    documented.map(({ method, path }) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`).sort(),
  );
  for (const { url, auth } of requests) expect({ host: url.host, own: auth ?? null }).toEqual({ host: ['{{baseUrl}}'], own: null });
  expect(collection.variable.map(({ key }) => key)).toEqual(['baseUrl', 'apiKey']);
  expect(collection.auth).toMatchObject({ type: 'bearer', bearer: [{ key: 'token', value: '{{apiKey}}' }] });
});
