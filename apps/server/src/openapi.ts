import { isDeepStrictEqual } from 'node:util';
import type { INestApplication } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { problemResponses, RATE_LIMIT, SECURITY_SCHEMES } from '#http';

/** Everybody may read what the API is. */
export const DOCS_PATHS = ['/docs', '/docs-json', '/docs-yaml'] as const;

/** Swagger UI at `/docs`, the OpenAPI document at `/docs-json`: of the routes that this process has. */
export function serveApiDocs(app: NestFastifyApplication): void {
  SwaggerModule.setup('docs', app, () => apiDocument(app), {
    jsonDocumentUrl: 'docs-json',
    // A key that was typed in survives a reload of the page.
    swaggerOptions: { persistAuthorization: true },
  });
}

type PathItem = OpenAPIObject['paths'][string];
export type Operation = NonNullable<PathItem['get']>;
type Responses = Operation['responses'];
export type Response = Exclude<NonNullable<Responses[string]>, { $ref: string }>;
type Schema = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>[string];
type MediaType = NonNullable<Response['content']>[string];

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

export interface Route {
  readonly method: (typeof METHODS)[number];
  readonly path: string;
  readonly operation: Operation;
}

/** All operations of the document, in its order. */
export function routesOf({ paths }: OpenAPIObject): Route[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => (item[method] ? [{ method, path, operation: item[method] }] : [])),
  );
}

/** Media types of an operation's bodies, with a name of each for people. */
export function bodiesOf({ operation, path }: Route): { where: string; type: string; media: MediaType }[] {
  const { requestBody, responses } = operation;
  const sent = requestBody && 'content' in requestBody ? [['request', requestBody.content] as const] : [];
  const answered = Object.entries(responses).map(
    ([status, response]) => [status, 'content' in response! ? response.content : undefined] as const,
  );
  return [...sent, ...answered].flatMap(([what, content]) =>
    Object.entries(content ?? {}).map(([type, media]) => ({ where: `${operation.operationId} ${path}, ${what}`, type, media })),
  );
}

/** The name of the component that a reference is to. */
export function nameOf(ref: string): string {
  return ref.split('/').at(-1)!;
}

const [API_KEY, OIDC_TOKEN] = SECURITY_SCHEMES;

const DESCRIPTION = `Subscription statuses in Database 1. Every change reaches Database 2 through Kafka. A 2xx means committed in Database 1.

- Errors are \`application/problem+json\` (RFC 9457). Decide by \`type\`; GET of it says what it means.
- HEAD is answered wherever GET is. A path that has other methods answers 405 with \`Allow\`.
- What is not described is refused: unknown fields of a body or of the query are 400.
- What never becomes a request of an operation is 400, 408 or 431.
- \`/subscription_status\` is another name of \`/subscriptions\`.`;

const TAGS: Readonly<Record<string, string>> = {
  subscriptions: 'Create, read, change, delete, list',
  history: 'Who changed a subscription, when, why, and how',
  tracking: 'Whether a change has reached Database 2, and waiting for it',
  bulk: 'Import and export',
  events: 'Every committed change once, also as Server-Sent Events',
  access: 'API keys',
  'dead letters': 'Records that could not be applied to Database 2',
  reconciliation: 'Comparisons of both databases, and repairs',
};

/** The OpenAPI document of the routes that `app` has. */
export function apiDocument(app: INestApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('subscription-sync')
    .setDescription(DESCRIPTION)
    .setVersion('0.1.0')
    .setLicense('MIT', 'https://opensource.org/license/mit')
    .addServer('/', 'Where this document comes from')
    .addBearerAuth(
      { type: 'http', scheme: 'bearer', bearerFormat: 'ssk_…', description: 'An API key, made with `npm run access`' },
      API_KEY,
    )
    .addBearerAuth(
      { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: "A token of the service's OpenID Connect issuer" },
      OIDC_TOKEN,
    );
  const document = SwaggerModule.createDocument(app, config.build());
  const used = new Set(
    Object.values(document.paths).flatMap((item) => Object.values(item).flatMap(({ tags }: { tags?: string[] }) => tags)),
  );
  document.tags = Object.entries(TAGS).flatMap(([name, description]) => (used.has(name) ? [{ name, description }] : []));
  completeOperations(document);
  addExamples(document);
  shareResponses(document);
  return document;
}

type Schemas = Readonly<Record<string, Schema>>;

/**
 * Gives each body an example, put together from those of its fields, which are said once, at the field.
 * @throws Error naming a field that has none and must be there.
 */
function addExamples(document: OpenAPIObject): void {
  const schemas = document.components!.schemas!;
  for (const route of routesOf(document)) {
    for (const { where, type, media } of bodiesOf(route)) {
      const { examples } = media;
      // One that is named after a media type belongs to that alone.
      if (examples && type in examples) media.examples = { [type]: examples[type]! };
      else if (!examples && media.example === undefined) media.example = exampleOf(media.schema!, schemas, where);
    }
  }
}

function exampleOf(schema: Schema, schemas: Schemas, where: string): unknown {
  if ('$ref' in schema) return exampleOf(schemas[nameOf(schema.$ref)]!, schemas, nameOf(schema.$ref));
  const { allOf, items, properties, required = [] } = schema;
  if (schema.example !== undefined) return schema.example as unknown;
  if (allOf) return Object.assign({}, ...allOf.map((part) => exampleOf(part, schemas, where))) as unknown;
  if (items) return [exampleOf(items, schemas, where)];
  if (!properties) throw new Error(`${where} has no example in the API's description: give its ApiProperty one`);
  const shown = Object.entries(properties).filter(
    ([name, property]) => required.includes(name) || ('example' in property && property.example !== undefined),
  );
  return Object.fromEntries(shown.map(([name, property]) => [name, exampleOf(property, schemas, `${where}.${name}`)]));
}

const REQUEST_ID = 'X-Request-Id';
const ALIAS = '/subscription_status';

/** What is true of every operation, whatever its route says: the server sees to it before and behind the routes. */
function completeOperations(document: OpenAPIObject): void {
  document.components = {
    ...document.components,
    parameters: {
      [REQUEST_ID]: {
        name: REQUEST_ID,
        in: 'header',
        required: false,
        description: 'In the answer and in the log: up to 128 letters, digits and `_.:-`. Any other is replaced by a new one',
        schema: { type: 'string' },
      },
    },
    headers: {
      [REQUEST_ID]: {
        description: "The caller's, or a new one",
        required: true,
        schema: { type: 'string', pattern: '^[A-Za-z0-9_.:-]{1,128}$' },
        example: '5f0c6a0e-6f1d-4b0e-8d55-0d7a8d0f4c1e',
      },
      ...RATE_LIMIT,
    },
  };
  for (const route of routesOf(document)) {
    const { operation, path } = route;
    if (path.startsWith(ALIAS)) operation.operationId = `${operation.operationId!}Alias`;
    closeBody(document, operation);
    for (const { status, ...response } of problemResponses(...errorResponses(route))) operation.responses[status] ??= response as Response;
    // Nest takes each header that a handler reads for a required one; what callers may send is described by ApiHeader.
    operation.parameters = (operation.parameters ?? []).filter(
      (parameter) => !('in' in parameter && parameter.in === 'header' && parameter.required),
    );
    operation.parameters.push({ $ref: `#/components/parameters/${REQUEST_ID}` });
    for (const [status, response] of Object.entries(operation.responses)) addHeaders(response as Response, status, operation);
  }
}

/** Fastify's own, which comes before any route's code. */
function errorResponses({ method, path }: Route): number[] {
  return [...(path.includes('{') ? [414] : []), ...(method === 'get' ? [] : [413, 415])];
}

function addHeaders(response: Response, status: string, { security }: Operation): void {
  const limited = security !== undefined && (Number(status) < 400 || status === '429');
  const names = [REQUEST_ID, ...(limited ? Object.keys(RATE_LIMIT) : [])];
  const shared = Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
  response.headers = { ...response.headers, ...shared };
}

/** requestPipe refuses what is not described. */
function closeBody({ components }: OpenAPIObject, { requestBody }: Operation): void {
  const schema = requestBody && 'content' in requestBody ? requestBody.content['application/json']?.schema : undefined;
  if (!schema || !('$ref' in schema)) return;
  const described = components!.schemas![nameOf(schema.$ref)]!;
  Object.assign(described, { additionalProperties: false });
}

/** Errors are said once: as components, named after the kinds of problem that they are. */
function shareResponses(document: OpenAPIObject): void {
  const shared: Record<string, Response> = {};
  for (const { operation } of routesOf(document)) {
    for (const [status, response] of Object.entries(operation.responses) as [string, Response][]) {
      const media = response.content?.['application/problem+json'];
      if (!media) continue;
      const name = [status, ...Object.keys(media.examples!)].join('.');
      shared[name] ??= response;
      if (!isDeepStrictEqual(shared[name], response)) throw new Error(`${operation.operationId} describes ${name} in a way of its own`);
      operation.responses[status] = { $ref: `#/components/responses/${name}` };
    }
  }
  const byName = Object.entries(shared).sort(([a], [b]) => (a < b ? -1 : 1));
  document.components!.responses = Object.fromEntries(byName);
}
