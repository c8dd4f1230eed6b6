import type { OpenAPIObject } from '@nestjs/swagger';
import { bodiesOf, nameOf, routesOf, type Schema } from './document.js';

type Schemas = Readonly<Record<string, Schema>>;

/**
 * Gives each body an example, put together from those of its fields, which are said once, at the field.
 * @throws Error naming a field that has none and must be there.
 */
export function giveExamples(document: OpenAPIObject): void {
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
