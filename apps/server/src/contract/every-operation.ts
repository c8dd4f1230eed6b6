import type { OpenAPIObject } from '@nestjs/swagger';
import { problemResponses, RATE_LIMIT } from '#http';
import { nameOf, type Operation, type Response, type Route, routesOf } from './document.js';

const REQUEST_ID = 'X-Request-Id';
const ALIAS = '/subscription_status';

/** What is true of every operation, whatever its route says: the server sees to it before and behind the routes. */
export function completeOperations(document: OpenAPIObject): void {
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
    for (const { status, ...response } of problemResponses(...refusals(route))) operation.responses[status] ??= response as Response;
    // Nest takes each header that a handler reads for a required one; what callers may send is described by ApiHeader.
    operation.parameters = (operation.parameters ?? []).filter(
      (parameter) => !('in' in parameter && parameter.in === 'header' && parameter.required),
    );
    operation.parameters.push({ $ref: `#/components/parameters/${REQUEST_ID}` });
    for (const [status, response] of Object.entries(operation.responses)) addHeaders(response as Response, status, operation);
  }
}

/** Fastify's own, which comes before any route's code. */
function refusals({ method, path }: Route): number[] {
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
