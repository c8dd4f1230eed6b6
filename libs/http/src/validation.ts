import { type ArgumentMetadata, type ValidationError, ValidationPipe } from '@nestjs/common';
import { registerDecorator } from 'class-validator';
import { type FieldError, ProblemException } from './problem.js';

const MAX_NESTING = 100;

/** What class-validator found, on its way to where it is known what was validated. */
class WrongFields extends Error {
  constructor(readonly fields: readonly ValidationError[]) {
    super('The request has wrong fields');
  }
}

/** Class-validator's pipe: what is not described is refused, and every wrong field is named. */
class RequestPipe extends ValidationPipe {
  constructor() {
    super({
      whitelist: true,
      forbidNonWhitelisted: true,
      forbidUnknownValues: true,
      transform: true,
      exceptionFactory: (errors) => new WrongFields(errors),
    });
  }

  /** Nest's takes `null` for an empty object, and a list for what it may hold. */
  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    const isBody = metadata.type === 'body';
    if (isBody && (typeof value !== 'object' || value === null || Array.isArray(value))) {
      throw new ProblemException('invalid-request', 'The body must be a JSON object, sent as application/json');
    }
    if (isBody) refuseEndlessNesting(value as object);
    try {
      return await super.transform(value, metadata);
    } catch (error) {
      if (!(error instanceof WrongFields)) throw error;
      throw wrongFields(error.fields.flatMap((field) => describe(field, isBody ? '' : undefined)));
    }
  }
}

export const requestPipe = new RequestPipe();

/** The 400 that names fields. */
export function wrongFields(errors: readonly FieldError[], detail = 'The request has wrong fields'): ProblemException {
  return new ProblemException('invalid-request', detail, { errors });
}

/** Before class-transformer goes into it: its recursion ends in an overflow of the stack. */
function refuseEndlessNesting(body: object): void {
  const deep = Object.entries(body).filter(([, value]) => !isWithin(MAX_NESTING, value));
  if (deep.length > 0) {
    const detail = `must not be nested deeper than ${MAX_NESTING} levels`;
    throw wrongFields(deep.map(([field]) => named(field, detail, pointerTo('', field))));
  }
}

/** Whether objects and lists are inside each other at most `levels` deep. */
export function isWithin(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((item) => isWithin(levels - 1, item));
}

/** `parent`: the pointer to what holds the field; undefined outside of a body. */
function describe({ property, constraints, children }: ValidationError, parent: string | undefined): FieldError[] {
  const pointer = parent === undefined ? undefined : pointerTo(parent, property);
  const own = Object.entries(constraints ?? {}).map(([rule, detail]) =>
    named(property, rule === 'whitelistValidation' ? 'is unknown' : detail, pointer),
  );
  return [...own, ...(children ?? []).flatMap((child) => describe(child, pointer))];
}

/** A name that may be an email is not quoted. */
function named(field: string, detail: string, pointer: string | undefined): FieldError {
  if (!/^[^@\s]{1,64}$/.test(field)) return { field: '(a name that no field has)', detail };
  return { field, detail, ...(pointer === undefined ? {} : { pointer }) };
}

/** RFC 6901. */
function pointerTo(parent: string, name: string): string {
  return `${parent}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** The same for the API's description, where strings are well-formed anyway. */
export const PG_TEXT_PATTERN = '^[^\\u0000]*$';

/** PostgreSQL's text has no character U+0000 (it answers 22021), and UTF-8 no lone surrogate. */
export function isPgText(value: unknown): boolean {
  if (typeof value === 'string') return !value.includes('\u0000') && value.isWellFormed();
  if (Array.isArray(value)) return value.every(isPgText);
  if (typeof value === 'object' && value !== null) return Object.entries(value).every(([key, item]) => isPgText(key) && isPgText(item));
  return true;
}

/** Checks a value and all inside it with {@link isPgText}. */
export function IsPgText(): PropertyDecorator {
  return (target, property) => {
    registerDecorator({
      name: 'isStorable',
      target: target.constructor,
      propertyName: String(property),
      validator: { validate: isPgText, defaultMessage: () => 'must not contain the character U+0000 or a lone surrogate' },
    });
  };
}
