import { isRFC3339, registerDecorator } from 'class-validator';

/** What PostgreSQL takes of an offset, for the API's description: up to 15:59. No clock on Earth is further than 14:00 from UTC. */
export const OFFSET_PATTERN = '([Zz]|[+-](0[0-9]|1[0-5]):[0-5][0-9])$';
const OFFSET = new RegExp(OFFSET_PATTERN);

export const INSTANT_RULE = 'must be an RFC 3339 date and time with an offset of less than 16:00, as in 2027-01-31T00:00:00Z, or null';

/** An RFC 3339 date and time, with its offset from UTC: without one, nobody knows which moment is meant. */
export function IsInstant(): PropertyDecorator {
  return (target, property) => {
    registerDecorator({
      name: 'isInstant',
      target: target.constructor,
      propertyName: String(property),
      validator: {
        validate: isInstant,
        defaultMessage: () => INSTANT_RULE,
      },
    });
  };
}

/** The pattern knows no calendar; PostgreSQL has no year 0. */
export function isInstant(value: unknown): boolean {
  if (typeof value !== 'string' || !isRFC3339(value) || !OFFSET.test(value)) return false;
  const [year, month, day] = value.slice(0, 10).split('-').map(Number) as [number, number, number];
  return year > 0 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
}
