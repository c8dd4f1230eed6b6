import type { OpenAPIObject } from '@nestjs/swagger';

type PathItem = OpenAPIObject['paths'][string];
export type Operation = NonNullable<PathItem['get']>;
export type Responses = Operation['responses'];
export type Response = Exclude<NonNullable<Responses[string]>, { $ref: string }>;
export type Schema = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>[string];
export type MediaType = NonNullable<Response['content']>[string];

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
