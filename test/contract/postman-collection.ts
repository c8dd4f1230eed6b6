import { createHash } from 'node:crypto';
import type { OpenAPIObject } from '@nestjs/swagger';
import converter from 'openapi-to-postmanv2';
import { routesOf } from '../../apps/server/src/openapi.js';

/** A variable of the collection. */
interface Variable {
  readonly key: string;
  readonly value: string;
  readonly description?: string;
}

/** A request or a folder of the collection, as far as it is changed here. */
interface Item {
  readonly item?: Item[];
  readonly request?: {
    readonly method: string;
    readonly url: { readonly path: readonly string[]; variable?: Variable[]; query?: Parameter[] };
    readonly header?: Parameter[];
  };
  event?: object[];
}

interface Parameter {
  readonly key: string;
  value: string;
  disabled?: boolean;
}

interface Collection {
  item: Item[];
  auth?: object;
  variable?: Variable[];
}

const VARIABLES: readonly Variable[] = [
  { key: 'baseUrl', value: 'http://127.0.0.1:3000' },
  { key: 'apiKey', value: '', description: 'An API key (npx subscription-sync keys create). Not needed while access is open' },
  { key: 'email', value: 'ada@example.com' },
  { key: 'version', value: '1', description: 'Version of the newest change of the email. Set by the request for its history' },
  { key: 'importId', value: '0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d', description: 'Set by the request that imports' },
  { key: 'keyId', value: '5f0c6a0e6f1d4b0e', description: 'Set by the requests that create and rotate an API key' },
  { key: 'deadLetterId', value: '7', description: 'Set by the request that lists dead letters' },
  { key: 'runId', value: '12', description: 'Set by the request that starts a run' },
  { key: 'erasureId', value: '7', description: 'Set by the request for an erasure' },
];

/** The collection variable that fills a variable of a path, by the path before it. */
const PATH_VARIABLES: Readonly<Record<string, string>> = {
  subscriptions: 'email',
  'replica/subscriptions': 'email',
  imports: 'importId',
  'access/keys': 'keyId',
  'dead-letters': 'deadLetterId',
  'reconciliation/runs': 'runId',
  erasures: 'erasureId',
};

/** The collection variable that a response sets, and where the response has its value. */
const SETS_VARIABLE: Readonly<Record<string, readonly [variable: string, value: string]>> = {
  'GET subscriptions/:email/history': ['version', 'body.data[0]?.version'],
  'POST subscriptions/import': ['importId', 'body.id'],
  'POST access/keys': ['keyId', 'body.id'],
  'POST access/keys/:id/rotate': ['keyId', 'body.id'],
  'GET dead-letters': ['deadLetterId', 'body.data[0]?.id'],
  'POST reconciliation/runs': ['runId', 'body.id'],
  'POST erasures': ['erasureId', 'body.id'],
};

/** Optional parameters that are sent, so that a request needs nothing but the requests before it. */
const SENT_PARAMETERS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'GET replica/subscriptions/:email': { Prefer: 'wait=30', min_version: '{{version}}' },
};

/**
 * Returns a Postman collection (v2.1) of the API: a folder for each tag, the document's examples, and the key of the variable `apiKey`.
 * It can be played from top to bottom: each request has all values that it needs, some of them from the responses before it.
 */
export async function postmanCollection(openapi: OpenAPIObject): Promise<object> {
  const collection = await convert(reduced(openapi));
  collection.auth = { type: 'bearer', bearer: [{ key: 'token', value: '{{apiKey}}', type: 'string' }] };
  collection.variable = VARIABLES.map((variable) => ({ ...variable, type: 'string' }));
  for (const item of requestsIn(collection.item)) makePlayable(item);
  collection.item = inPlayingOrder(collection.item);
  return withStableIds(collection);
}

function requestsIn(items: readonly Item[]): Item[] {
  return items.flatMap((item) => [...(item.request ? [item] : []), ...requestsIn(item.item ?? [])]);
}

/** Returns the method and the path of a request: `GET subscriptions/:email`. Empty for a folder. */
function routeOf({ request }: Item): string {
  return request ? `${request.method} ${request.url.path.join('/')}` : '';
}

/** Fills the variables of the path, sends {@link SENT_PARAMETERS}, and adds the script that keeps a value of the response. */
function makePlayable(item: Item): void {
  const { url, header = [] } = item.request!;
  const route = routeOf(item);
  url.variable = (url.variable ?? []).map((variable) => {
    const before = url.path.slice(0, url.path.indexOf(`:${variable.key}`)).join('/');
    const source = PATH_VARIABLES[before];
    if (source === undefined) throw new Error(`${route}: no collection variable fills the path variable ${variable.key}`);
    return { ...variable, value: `{{${source}}}` };
  });
  for (const [name, value] of Object.entries(SENT_PARAMETERS[route] ?? {})) {
    const parameter = [...header, ...(url.query ?? [])].find(({ key }) => key === name);
    if (!parameter) throw new Error(`${route} has no parameter ${name}`);
    parameter.value = value;
    delete parameter.disabled;
  }
  const sets = SETS_VARIABLE[route];
  if (!sets) return;
  const [variable, value] = sets;
  const exec = [
    'const body = pm.response.json();',
    `const value = ${value};`,
    `if (value !== undefined) pm.collectionVariables.set('${variable}', String(value));`,
  ];
  item.event = [{ listen: 'test', script: { type: 'text/javascript', exec } }];
}

/** Orders requests by their dependencies: the import follows the deletion of its subscription, and the redrive by filter comes last. */
function inPlayingOrder(folders: readonly Item[]): Item[] {
  const importFolder = folders.find((folder) => requestsIn([folder]).some((item) => routeOf(item) === 'POST subscriptions/import'));
  const [first, ...rest] = folders.map((folder) => ({ ...folder, item: folder.item?.toSorted(byDependency) ?? [] }));
  const moved = rest.filter(({ item }) => item.some((request) => importFolder?.item?.includes(request)));
  return [first!, ...moved, ...rest.filter((folder) => !moved.includes(folder))];
}

function byDependency(a: Item, b: Item): number {
  const last = (item: Item): number => Number(routeOf(item) === 'POST dead-letters/redrive');
  return last(a) - last(b);
}

function convert(openapi: OpenAPIObject): Promise<Collection> {
  // These options take the values from the document instead of generating random data.
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
      if (collection) resolve(collection as Collection);
      else reject(new Error(`No Postman collection: ${result?.reason}`, { cause: error }));
    });
  });
}

/** Leaves out the requests of the alias, and error responses, which would be a megabyte. */
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

/** Adds an example, as a parameter without one would get a random value. An empty one does no harm: it is disabled in the collection. */
function withExample<P extends { schema?: unknown; example?: unknown }>(parameter: P): P {
  const schema = parameter.schema as { examples?: unknown[]; default?: unknown; enum?: unknown[] };
  return { ...parameter, example: parameter.example ?? schema.examples?.[0] ?? schema.default ?? schema.enum?.[0] ?? '' };
}

/** Replaces the random ids by ids derived from the place in the collection, so that they are the same every time. */
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
