import { isDeepStrictEqual } from 'node:util';
import type { INestApplication } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { problemResponses, RATE_LIMIT, SECURITY_SCHEMES } from '#http';
import { convertSchemas } from './openapi-schemas.js';

/** Paths of the API documentation, which needs no credential. */
export const DOCS_PATHS = ['/docs', '/docs-json', '/docs-yaml'] as const;

/** Serves Swagger UI at `/docs` and the OpenAPI document at `/docs-json`, for the routes of this process. */
export function serveApiDocs(app: NestFastifyApplication): void {
  SwaggerModule.setup('docs', app, () => apiDocument(app), {
    jsonDocumentUrl: 'docs-json',
    // An entered API key ends with the page: any script of this origin can read what the browser stores.
    swaggerOptions: { persistAuthorization: false },
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

/** Returns all operations of the document, in its order. */
export function routesOf({ paths }: OpenAPIObject): Route[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => (item[method] ? [{ method, path, operation: item[method] }] : [])),
  );
}

/** Returns the media types of an operation's bodies, each with a name for messages. */
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

/** Returns the name of the component to which a reference points. */
export function nameOf(ref: string): string {
  return ref.split('/').at(-1)!;
}

const [API_KEY, OIDC_TOKEN] = SECURITY_SCHEMES;

const ALIAS = '/subscription_status';

const DESCRIPTION = `Manages subscriptions in Database 1 and replicates every change to Database 2 through Kafka. A 2xx response to a write means that the change is committed in Database 1.

- Every error is an \`application/problem+json\` document (RFC 9457). Programs should decide by its \`type\`; GET of the type returns its meaning.
- HEAD is supported wherever GET is. A method that a path does not support is answered with 405, and \`Allow\` lists the supported methods.
- Fields and query parameters that are not described here are rejected with 400. So is a JSON body in which a member of an object occurs twice.
- A response may have members, and a problem a type, that this document does not know yet: clients must ignore unknown members. What may change without notice, and what is announced with \`Deprecation\` and \`Sunset\` headers, is in docs/api/versioning.md of the repository.
- Malformed HTTP is answered with 400, and a request that is not received in time with 408.
- Each path that begins with \`/subscriptions\` is also available under \`${ALIAS}\`.`;

const TAGS: Readonly<Record<string, string>> = {
  subscriptions: 'Create, read, change, delete and list subscriptions',
  history: 'Who changed a subscription, when, why and how',
  tracking: 'The replication status of a change, and waiting until it has reached Database 2',
  bulk: 'Import and export of many subscriptions',
  events: 'All committed changes, each exactly once, as pages or as Server-Sent Events',
  access: 'Management of API keys, and the log of administrative acts',
  'dead letters': 'Records that could not be applied to Database 2',
  reconciliation: 'Comparison of both databases, and repair of their differences',
  erasures: 'Erasure of everything that is kept about an email',
};

/** Builds the OpenAPI document of the routes of `app`. */
export function apiDocument(app: INestApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('subscription-sync')
    .setDescription(DESCRIPTION)
    .setOpenAPIVersion('3.1.1')
    .setVersion('0.1.0')
    .setLicense('MIT', 'https://opensource.org/license/mit')
    .addServer('/', 'The server that provided this document')
    .addBearerAuth(
      {
        type: 'http',
        scheme: 'bearer',
        bearerFormat: 'ssk_…',
        description: 'An API key. The first one is created with `npx subscription-sync keys create`',
      },
      API_KEY,
    )
    .addBearerAuth(
      {
        type: 'http',
        scheme: 'bearer',
        bearerFormat: 'JWT',
        description: 'A token of the OpenID Connect issuer for which the service is configured',
      },
      OIDC_TOKEN,
    );
  const document = SwaggerModule.createDocument(app, config.build());
  document.paths = Object.fromEntries(Object.entries(document.paths).filter(([path]) => !path.startsWith(ALIAS)));
  const used = new Set(
    Object.values(document.paths).flatMap((item) => Object.values(item).flatMap(({ tags }: { tags?: string[] }) => tags)),
  );
  document.tags = Object.entries(TAGS).flatMap(([name, description]) => (used.has(name) ? [{ name, description }] : []));
  completeOperations(document);
  addExamples(document);
  shareResponses(document);
  convertSchemas(document);
  return document;
}

type Schemas = Readonly<Record<string, Schema>>;

/**
 * Adds an example to each body, combined from the examples of its fields.
 * @throws Error that names a required field without an example.
 */
function addExamples(document: OpenAPIObject): void {
  const schemas = document.components!.schemas!;
  for (const route of routesOf(document)) {
    for (const { where, media } of bodiesOf(route)) {
      if (!media.examples && media.example === undefined) media.example = exampleOf(media.schema!, schemas, where);
    }
  }
}

function exampleOf(schema: Schema, schemas: Schemas, where: string): unknown {
  if ('$ref' in schema) return exampleOf(schemas[nameOf(schema.$ref)]!, schemas, nameOf(schema.$ref));
  const { allOf, anyOf, items, properties, required = [] } = schema;
  if (schema.example !== undefined) return schema.example as unknown;
  if (allOf) return Object.assign({}, ...allOf.map((part) => exampleOf(part, schemas, where))) as unknown;
  // A reference that may be null.
  if (anyOf) return exampleOf(anyOf[0]!, schemas, where);
  if (items) return [exampleOf(items, schemas, where)];
  if (!properties) throw new Error(`${where} has no example in the OpenAPI document: add one to its ApiProperty`);
  const shown = Object.entries(properties).filter(
    ([name, property]) => required.includes(name) || ('example' in property && property.example !== undefined),
  );
  return Object.fromEntries(shown.map(([name, property]) => [name, exampleOf(property, schemas, `${where}.${name}`)]));
}

const REQUEST_ID = 'X-Request-Id';

/** Adds what applies to every operation: request-id header, rate-limit headers, framework errors. */
function completeOperations(document: OpenAPIObject): void {
  document.components = {
    ...document.components,
    parameters: {
      [REQUEST_ID]: {
        name: REQUEST_ID,
        in: 'header',
        required: false,
        description:
          'Id of the request, returned in the response and written to the log: up to 128 letters, digits and `_.:-`. Any other value is replaced by a new id',
        schema: { type: 'string' },
      },
    },
    headers: {
      [REQUEST_ID]: {
        description: 'Id of the request: the value that the client sent, or a new one',
        required: true,
        schema: { type: 'string', pattern: '^[A-Za-z0-9_.:-]{1,128}$' },
        example: '5f0c6a0e-6f1d-4b0e-8d55-0d7a8d0f4c1e',
      },
      ...RATE_LIMIT,
    },
  };
  for (const route of routesOf(document)) {
    const { operation } = route;
    closeBody(document, operation);
    for (const { status, ...response } of problemResponses(...errorResponses(route))) operation.responses[status] ??= response as Response;
    // Nest describes each header that a handler reads as required. The headers that clients may send are described with ApiHeader.
    operation.parameters = (operation.parameters ?? []).filter(
      (parameter) => !('in' in parameter && parameter.in === 'header' && parameter.required),
    );
    operation.parameters.push({ $ref: `#/components/parameters/${REQUEST_ID}` });
    for (const [status, response] of Object.entries(operation.responses)) addHeaders(response as Response, status, operation);
  }
}

/** Returns the errors that Node and Fastify raise before the code of a route runs. */
function errorResponses({ method, path }: Route): number[] {
  return [...(path.includes('{') ? [414] : []), ...(method === 'get' ? [] : [413, 415]), 431];
}

function addHeaders(response: Response, status: string, { security }: Operation): void {
  const limited = security !== undefined && (Number(status) < 400 || status === '429');
  const names = [REQUEST_ID, ...(limited ? Object.keys(RATE_LIMIT) : [])];
  const shared = Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
  response.headers = { ...response.headers, ...shared };
}

/** Disallows additional properties, because RequestPipe rejects them. */
function closeBody({ components }: OpenAPIObject, { requestBody }: Operation): void {
  const schema = requestBody && 'content' in requestBody ? requestBody.content['application/json']?.schema : undefined;
  if (!schema || !('$ref' in schema)) return;
  const described = components!.schemas![nameOf(schema.$ref)]!;
  Object.assign(described, { additionalProperties: false });
}

/** Moves error responses to components that are named after their problem types, so that each is described once. */
function shareResponses(document: OpenAPIObject): void {
  const shared: Record<string, Response> = {};
  for (const { operation } of routesOf(document)) {
    for (const [status, response] of Object.entries(operation.responses) as [string, Response][]) {
      const media = response.content?.['application/problem+json'];
      if (!media) continue;
      const name = [status, ...Object.keys(media.examples!)].join('.');
      shared[name] ??= response;
      if (!isDeepStrictEqual(shared[name], response))
        throw new Error(`${operation.operationId} describes the response ${name} differently from other operations`);
      operation.responses[status] = { $ref: `#/components/responses/${name}` };
    }
  }
  const byName = Object.entries(shared).sort(([a], [b]) => (a < b ? -1 : 1));
  document.components!.responses = Object.fromEntries(byName);
}
