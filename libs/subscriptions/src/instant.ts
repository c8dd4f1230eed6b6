import { isRFC3339, registerDecorator } from 'class-validator';

/** An RFC 3339 date and time, with its offset from UTC: without one, nobody knows which moment is meant. */
export function IsInstant(): PropertyDecorator {
  return (target, property) => {
    registerDecorator({
      name: 'isInstant',
      target: target.constructor,
      propertyName: String(property),
      validator: {
        validate: isInstant,
        defaultMessage: () => 'must be an RFC 3339 date and time with an offset, as in 2027-01-31T00:00:00Z, or null',
      },
    });
  };
}

/** The pattern knows no calendar; PostgreSQL has no year 0. */
export function isInstant(value: unknown): boolean {
  if (typeof value !== 'string' || !isRFC3339(value)) return false;
  const [year, month, day] = value.slice(0, 10).split('-').map(Number) as [number, number, number];
  return year > 0 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
}
