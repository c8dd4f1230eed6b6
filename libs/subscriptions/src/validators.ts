import { Injectable, type PipeTransform } from '@nestjs/common';
import { isEmail, isRFC3339, registerDecorator } from 'class-validator';
import { isPgText, isWithin, wrongFields } from '#http';

/** Maximum length of an email: RFC 5321's limit of a path, without its angle brackets. */
export const EMAIL_LENGTH = 254;

export const EMAIL_RULE = `must be an email address of at most ${EMAIL_LENGTH} characters`;

/** Tells which emails are not one although they reach the same mailbox (ADR 29). */
export const TWO_SPELLINGS =
  'The two spellings of an internationalised domain, as in ada@münchen.de and ada@xn--mnchen-3ya.de, are two emails';

/**
 * Pattern of most emails, in the form in which DB1 stores them. `isEmail` accepts every email that it matches (email.spec.ts), but takes 9 µs,
 * which is 5 % of a read; the pattern takes less than one.
 */
const PLAIN = /^(?=[^@]{1,64}@)[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$/;

/**
 * Returns the email as DB1 stores it. DB1's function `subscription_sync.normalize_email` is the rule; this copy of it is for checks, and for queries of DB2
 * that do not involve DB1.
 */
export function normaliseEmail(email: string): string {
  return email.trim().toLowerCase().normalize('NFC');
}

/** Whether a value can be the email of a subscription, in any case and with surrounding spaces. */
export function isAcceptableEmail(value: unknown): boolean {
  if (typeof value !== 'string' || value.length > EMAIL_LENGTH) return false;
  return PLAIN.test(value) || isWellFormed(value);
}

/** Checks the same as {@link isAcceptableEmail}, except the length. */
export function isWellFormed(value: string): boolean {
  return isPgText(value) && isEmail(normaliseEmail(value), { allow_utf8_local_part: true });
}

/** Checks the email in a path. The database normalises it. */
@Injectable()
export class EmailPipe implements PipeTransform<string, string> {
  transform(value: string): string {
    if (!isAcceptableEmail(value)) throw wrongFields([{ field: 'email', detail: EMAIL_RULE }], 'The path does not contain a valid email');
    return value;
  }
}

/** Offsets from UTC that PostgreSQL accepts, as a pattern for the OpenAPI document: up to 15:59. No clock on Earth is more than 14:00 from UTC. */
export const OFFSET_PATTERN = '([Zz]|[+-](0[0-9]|1[0-5]):[0-5][0-9])$';
const OFFSET = new RegExp(OFFSET_PATTERN);

export const INSTANT_RULE = 'must be an RFC 3339 date and time with an offset of less than 16:00, as in 2027-01-31T00:00:00Z, or null';

/** Validates an RFC 3339 date and time. The offset from UTC is required: without it the time would be ambiguous. */
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

/** Also checks what the pattern cannot: the day must exist in the calendar, and PostgreSQL has no year 0. */
export function isInstant(value: unknown): boolean {
  if (typeof value !== 'string' || !isRFC3339(value) || !OFFSET.test(value)) return false;
  const [year, month, day] = value.slice(0, 10).split('-').map(Number) as [number, number, number];
  return year > 0 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
}

/** Limits of `metadata`: `bytes` of its JSON text, `levels` of nested objects and arrays. */
export const METADATA = { keys: 50, bytes: 16 * 1024, levels: 20 } as const;

/** Validates an object that is within the limits of {@link METADATA} and that PostgreSQL can store. */
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
    isPgText(value) &&
    Buffer.byteLength(JSON.stringify(value)) <= METADATA.bytes
  );
}
