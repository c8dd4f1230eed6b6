import { length } from 'class-validator';
import { type IllegalTransition, STATUSES } from '#events';
import { isStorable } from '#http';
import { EMAIL_RULE, INSTANT_RULE, isAcceptableEmail, isInstant, isMetadata, METADATA } from '#subscriptions';

/** A line that can be written, as the database takes it. */
export interface ImportRow {
  /** From 1. */
  readonly line: number;
  readonly email: string;
  readonly status: string;
  readonly plan: string | null;
  readonly access_until: string | null;
  readonly cancel_at_period_end: boolean;
  readonly metadata: object;
  /** As in PUT: lets a canceled or expired subscription begin again. */
  readonly reactivate: boolean;
}

/** What is wrong with a line. Never with a value of it: emails must not be kept with a job. */
export interface LineError extends Partial<IllegalTransition> {
  readonly line: number;
  /** Of what kind of problem it is, where it is not about the line alone. */
  readonly type?: '/problems/illegal-transition';
  readonly field?: string;
  readonly detail: string;
}

const PLAN_LENGTH = 100;
const nullable = (check: (value: unknown) => boolean) => (value: unknown) => value === undefined || value === null || check(value);
const optional = (check: (value: unknown) => boolean) => (value: unknown) => value === undefined || check(value);

/** The rules of PUT, without its decorators, which take 30 times as long. A spec holds both against each other. */
const RULES: readonly (readonly [field: string, holds: (value: unknown) => boolean, rule: string])[] = [
  ['email', isAcceptableEmail, EMAIL_RULE],
  ['status', (value) => (STATUSES as readonly unknown[]).includes(value), `must be one of ${STATUSES.join(', ')}`],
  [
    'plan',
    nullable((value) => typeof value === 'string' && length(value, 1, PLAN_LENGTH) && isStorable(value)),
    `must be 1 to ${PLAN_LENGTH} characters, or null`,
  ],
  ['access_until', nullable(isInstant), INSTANT_RULE],
  ['cancel_at_period_end', optional((value) => typeof value === 'boolean'), 'must be true or false'],
  [
    'metadata',
    optional(isMetadata),
    `must be an object of at most ${METADATA.keys} keys, ${METADATA.levels} levels and ${METADATA.bytes} bytes of JSON`,
  ],
  ['reactivate', optional((value) => typeof value === 'boolean'), 'must be true or false'],
];
/** What an export has, but nobody may set: an exported file can be imported as it is. */
const IGNORED = new Set(['version', 'created_at', 'updated_at']);
const KNOWN = new Set([...RULES.map(([field]) => field), ...IGNORED]);

/** Checks an object that a line holds. @returns the row, or what is wrong with it. */
export function toRow(line: number, value: unknown): ImportRow | readonly LineError[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [{ line, detail: 'must be a JSON object' }];
  const fields = value as Record<string, unknown>;
  const errors: LineError[] = RULES.filter(([field, holds]) => !holds(fields[field])).map(([field, , detail]) => ({ line, field, detail }));
  if (Object.keys(fields).some((field) => !KNOWN.has(field))) {
    errors.push({ line, detail: `has a field that is none of ${RULES.map(([field]) => field).join(', ')}` });
  }
  if (errors.length > 0) return errors;
  return {
    line,
    email: fields['email'] as string,
    status: fields['status'] as string,
    plan: (fields['plan'] ?? null) as string | null,
    access_until: (fields['access_until'] ?? null) as string | null,
    cancel_at_period_end: (fields['cancel_at_period_end'] ?? false) as boolean,
    metadata: fields['metadata'] ?? {},
    reactivate: (fields['reactivate'] ?? false) as boolean,
  };
}
