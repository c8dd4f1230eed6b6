import { registerDecorator } from 'class-validator';
import { isStorable, isWithin } from '#http';

/** Bounds of `metadata`. Bytes count its JSON text, levels the objects and lists inside each other. */
export const METADATA = { keys: 50, bytes: 16 * 1024, levels: 20 } as const;

/** An object within {@link METADATA} that PostgreSQL can store. */
export function IsMetadata(): PropertyDecorator {
  return (target, property) => {
    registerDecorator({
      name: 'isMetadata',
      target: target.constructor,
      propertyName: String(property),
      validator: {
        validate: isMetadata,
        defaultMessage: () =>
          `must be an object of at most ${METADATA.keys} keys, ${METADATA.levels} levels and ${METADATA.bytes} bytes of JSON, ` +
          'without U+0000 or lone surrogates',
      },
    });
  };
}

export function isMetadata(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return (
    Object.keys(value).length <= METADATA.keys &&
    isWithin(METADATA.levels, value) &&
    isStorable(value) &&
    Buffer.byteLength(JSON.stringify(value)) <= METADATA.bytes
  );
}
