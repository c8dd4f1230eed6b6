/** Converts a schema of OpenAPI 3.0 to JSON Schema, which has no `nullable`. */
export function toJsonSchema(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toJsonSchema);
  if (typeof value !== 'object' || value === null) return value;
  const { nullable, ...rest } = Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJsonSchema(item)]));
  return nullable === true ? { anyOf: [rest, { type: 'null' }] } : rest;
}
