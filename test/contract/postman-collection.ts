import { createHash } from 'node:crypto';
import type { OpenAPIObject } from '@nestjs/swagger';
import converter from 'openapi-to-postmanv2';
import { routesOf } from '../../apps/server/src/openapi.js';

const BASE_URL = { key: 'baseUrl', value: 'http://127.0.0.1:3000', type: 'string' };
const API_KEY = { key: 'apiKey', value: '', type: 'string', description: 'An API key (npm run access); nothing while access is open' };

/** A Postman collection (v2.1) of the API: a folder for each tag, with the document's examples, and the key of the variable `apiKey`. */
export async function postmanCollection(openapi: OpenAPIObject): Promise<object> {
  const collection = await convert(reduced(openapi));
  collection.auth = { type: 'bearer', bearer: [{ key: 'token', value: '{{apiKey}}', type: 'string' }] };
  collection.variable = [BASE_URL, API_KEY];
  return withStableIds(collection);
}

interface Collection {
  auth?: object;
  variable?: object[];
}

function convert(openapi: OpenAPIObject): Promise<Collection> {
  // Chosen so that what comes out is what the document says, not what a generator of random data makes of it.
  const options = {
    folderStrategy: 'Tags',
    requestNameSource: 'Fallback',
    parametersResolution: 'Example',
    enableOptionalParameters: false,
    alwaysInheritAuthentication: true,
  } as const;
  return new Promise((resolve, reject) => {
    converter.convertV2({ type: 'json', data: openapi }, options, (error, result) => {
      const collection = result?.result === true ? result.output?.[0]?.data : undefined;
      if (collection) resolve(collection);
      else reject(new Error(`No Postman collection: ${result?.reason}`, { cause: error }));
    });
  });
}

/** Without the requests of the other name, and without errors: a response would be a megabyte of them. */
function reduced(openapi: OpenAPIObject): OpenAPIObject {
  const copy = structuredClone(openapi);
  copy.paths = Object.fromEntries(Object.entries(copy.paths).filter(([path]) => !path.startsWith('/subscription_status')));
  const shared = copy.components!.parameters!;
  for (const [name, parameter] of Object.entries(shared)) if ('schema' in parameter) shared[name] = withExample(parameter);
  for (const { operation } of routesOf(copy)) {
    operation.responses = Object.fromEntries(Object.entries(operation.responses).filter(([status]) => status.startsWith('2')));
    operation.parameters = operation.parameters?.map((parameter) => ('schema' in parameter ? withExample(parameter) : parameter)) ?? [];
  }
  return copy;
}

/** One that has none would get a random one. It is switched off in the collection, so an empty one does no harm. */
function withExample<P extends { schema?: unknown; example?: unknown }>(parameter: P): P {
  const schema = parameter.schema as { example?: unknown; default?: unknown; enum?: unknown[] };
  return { ...parameter, example: parameter.example ?? schema.example ?? schema.default ?? schema.enum?.[0] ?? '' };
}

/** Ids are drawn at random. From its place in the collection each gets the same one every time. */
function withStableIds(value: unknown, place = ''): object {
  const keep = (item: unknown, key: string): unknown =>
    typeof item === 'object' && item !== null ? withStableIds(item, `${place}/${key}`) : item;
  if (Array.isArray(value)) return value.map((item, i) => keep(item, String(i)));
  const entries = Object.entries(value as object).map(([key, item]): [string, unknown] => {
    const isId = (key === 'id' || key === '_postman_id') && typeof item === 'string' && /^[0-9a-f-]{36}$/.test(item);
    return [key, isId ? uuidOf(`${place}/${key}`) : keep(item, key)];
  });
  return Object.fromEntries(entries);
}

function uuidOf(place: string): string {
  const hex = createHash('sha256').update(place).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-');
}
