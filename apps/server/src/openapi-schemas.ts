import type { OpenAPIObject } from '@nestjs/swagger';

/** A schema of OpenAPI 3.0, as @nestjs/swagger builds it, or of 3.1. */
type Schema = Readonly<Record<string, unknown>>;

/** A part of the document that has schemas: a parameter, a header, a media type, or a list of these. */
interface Holder {
  schema?: unknown;
  readonly content?: Readonly<Record<string, Holder>>;
  readonly headers?: Readonly<Record<string, Holder>>;
}

type OperationObject = NonNullable<OpenAPIObject['paths'][string]['get']>;

/**
 * Completes the conversion of a document's schemas to JSON Schema 2020-12, which OpenAPI 3.1 uses: @nestjs/swagger converts `nullable`, and leaves
 * the `example` of OpenAPI 3.0, which 3.1 deprecates.
 */
export function convertSchemas({ components = {}, paths }: OpenAPIObject): void {
  const schemas = components.schemas as Record<string, Schema>;
  for (const [name, schema] of Object.entries(schemas)) schemas[name] = toJsonSchema(schema);
  const shared = [components.parameters, components.headers, components.responses].flatMap((part): unknown[] => Object.values(part ?? {}));
  const operations = Object.values(paths).flatMap((item) => Object.values(item) as OperationObject[]);
  const inlined = operations.flatMap(({ parameters = [], requestBody = {}, responses }): unknown[] => [
    ...parameters,
    requestBody,
    ...(Object.values(responses) as unknown[]),
  ]);
  for (const holder of [...shared, ...inlined]) convertIn(holder as Holder);
}

function convertIn(holder: Holder): void {
  if (holder.schema) holder.schema = toJsonSchema(holder.schema as Schema);
  for (const inner of Object.values({ ...holder.content, ...holder.headers })) convertIn(inner);
}

function toJsonSchema({ example, ...schema }: Schema): Schema {
  return {
    ...Object.fromEntries(Object.entries(schema).map(([keyword, value]) => [keyword, convertKeyword(keyword, value)])),
    // Tools that know 3.1 recognise a file by its media type, and older ones by the format.
    ...(schema['format'] === 'binary' ? { contentMediaType: 'application/octet-stream' } : {}),
    ...(example === undefined ? {} : { examples: [example] }),
  };
}

/** Converts the schemas inside a keyword. */
function convertKeyword(keyword: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  switch (keyword) {
    case 'items':
    case 'additionalProperties':
      return toJsonSchema(value as Schema);
    case 'allOf':
    case 'anyOf':
    case 'oneOf':
      return (value as Schema[]).map(toJsonSchema);
    case 'properties':
      return Object.fromEntries(Object.entries(value as Record<string, Schema>).map(([name, schema]) => [name, toJsonSchema(schema)]));
    default:
      return value;
  }
}
