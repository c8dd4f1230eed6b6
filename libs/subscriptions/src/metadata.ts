import { registerDecorator } from 'class-validator';

/** Bounds of `metadata`. Bytes count its JSON text. */
export const METADATA = { keys: 50, bytes: 16 * 1024 } as const;

/** An object of at most 50 keys and 16 KB of JSON. */
export function IsMetadata(): PropertyDecorator {
  return (target, property) => {
    registerDecorator({
      name: 'isMetadata',
      target: target.constructor,
      propertyName: String(property),
      validator: {
        validate: isMetadata,
        defaultMessage: () => `must be an object of at most ${METADATA.keys} keys and ${METADATA.bytes} bytes of JSON`,
      },
    });
  };
}

function isMetadata(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.keys(value).length <= METADATA.keys && Buffer.byteLength(JSON.stringify(value)) <= METADATA.bytes;
}
