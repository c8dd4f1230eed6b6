export const DATE_FORMATS = ['iso', 'dmy', 'mdy'] as const;
export type DateFormat = (typeof DATE_FORMATS)[number];

/** An optional time of day and offset from UTC behind a date. */
const TIME =
  '(?:[T,\\s]+(?<hour>\\d{1,2}):(?<minute>\\d{2})(?::(?<second>\\d{2})(?<fraction>\\.\\d{1,9})?)?\\s*(?<half>[ap]m)?)?\\s*(?<zone>Z|UTC|GMT|[+-]\\d{2}:?\\d{2})?';
const YEAR_FIRST = pattern('(?<year>\\d{4})[-/.](?<month>\\d{1,2})[-/.](?<day>\\d{1,2})');
const YEAR_LAST: Readonly<Record<Exclude<DateFormat, 'iso'>, RegExp>> = {
  dmy: pattern('(?<day>\\d{1,2})[-/.](?<month>\\d{1,2})[-/.](?<year>\\d{4})'),
  mdy: pattern('(?<month>\\d{1,2})[-/.](?<day>\\d{1,2})[-/.](?<year>\\d{4})'),
};

function pattern(date: string): RegExp {
  return new RegExp(`^${date}${TIME}$`, 'i');
}

/** Rule for each format, for messages. */
export const DATE_RULES: Readonly<Record<DateFormat, string>> = {
  iso: 'must be a date as in 2027-01-31 or 2027-01-31 18:30, in UTC if it has no offset',
  dmy: 'must be a date as in 31/01/2027 or 31.01.2027 18:30 (date_format=dmy), in UTC if it has no offset',
  mdy: 'must be a date as in 01/31/2027 or 1/31/2027 6:30 PM (date_format=mdy), in UTC if it has no offset',
};

/**
 * Returns a date in RFC 3339, in UTC where the text has no offset. A date without a time is the beginning of its day. A date that begins
 * with the year is read in every format. Other text is returned as it is, and fails the check of an instant later, as the 31st of June does.
 */
export function toInstant(text: string, format: DateFormat): string {
  const trimmed = text.trim();
  const found = YEAR_FIRST.exec(trimmed) ?? (format === 'iso' ? null : YEAR_LAST[format].exec(trimmed));
  if (!found) return text;
  const { year, month, day, hour = '0', minute = '00', second = '00', fraction = '', half, zone } = found.groups!;
  const two = (digits: string | undefined): string => digits!.padStart(2, '0');
  return `${year}-${two(month)}-${two(day)}T${two(hourOfDay(hour, half))}:${minute}:${second}${fraction}${offset(zone)}`;
}

/** Converts an hour from 1 to 12 with am or pm. An impossible hour stays impossible. */
function hourOfDay(hour: string, half: string | undefined): string {
  if (half === undefined) return hour;
  const number = Number(hour);
  if (number < 1 || number > 12) return '99';
  return String((number % 12) + (half.toLowerCase() === 'pm' ? 12 : 0));
}

function offset(zone: string | undefined): string {
  if (zone === undefined || /^[a-z]/i.test(zone)) return 'Z';
  return zone.includes(':') ? zone : `${zone.slice(0, 3)}:${zone.slice(3)}`;
}
