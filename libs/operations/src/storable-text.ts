import { registerDecorator } from 'class-validator';

/** The same for the API's description, where strings are well-formed anyway. */
export const STORABLE_PATTERN = '^[^\\u0000]*$';

/** PostgreSQL's text has no character U+0000 (it answers 22021), and UTF-8 no lone surrogate. */
export function isStorable(value: unknown): boolean {
  if (typeof value === 'string') return !value.includes('\u0000') && value.isWellFormed();
  if (Array.isArray(value)) return value.every(isStorable);
  if (typeof value === 'object' && value !== null) return Object.entries(value).every(([key, item]) => isStorable(key) && isStorable(item));
  return true;
}

/** Checks a value and all inside it with {@link isStorable}. */
export function IsStorable(): PropertyDecorator {
  return (target, property) => {
    registerDecorator({
      name: 'isStorable',
      target: target.constructor,
      propertyName: String(property),
      validator: { validate: isStorable, defaultMessage: () => 'must not contain the character U+0000 or a lone surrogate' },
    });
  };
}
