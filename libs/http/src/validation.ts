import { type ArgumentMetadata, Inject, Injectable, Optional, type ValidationError, ValidationPipe } from '@nestjs/common';
import { registerDecorator, type ValidatorOptions } from 'class-validator';
import { type FieldError, ProblemException } from './problem.js';

const MAX_NESTING = 100;
const UNKNOWN_FIELD = 'is not a known field';

/** Carries the findings of class-validator to {@link RequestPipe.transform}, which knows whether a body was validated. */
class InvalidFields extends Error {
  constructor(readonly fields: readonly ValidationError[]) {
    super('The request has invalid fields');
  }
}

/** Injection token of what the rules of the DTOs depend on. All applications of a process share the DTOs and their decorators. */
export const RULE_CONTEXT = Symbol('rule context');

/** The context of the application that validates a DTO. */
const contexts = new WeakMap<object, unknown>();

/** Returns what was provided as {@link RULE_CONTEXT} in the application that validates this DTO. */
export function ruleContextOf(dto: object): unknown {
  return contexts.get(dto);
}

/** Validates requests with class-validator: fields that the DTO does not declare are rejected, and all invalid fields are reported. */
@Injectable()
export class RequestPipe extends ValidationPipe {
  constructor(@Optional() @Inject(RULE_CONTEXT) private readonly ruleContext?: unknown) {
    super({
      whitelist: true,
      forbidNonWhitelisted: true,
      forbidUnknownValues: true,
      transform: true,
      exceptionFactory: (errors) => new InvalidFields(errors),
    });
  }

  protected override validate(dto: object, options?: ValidatorOptions): Promise<ValidationError[]> | ValidationError[] {
    contexts.set(dto, this.ruleContext);
    return super.validate(dto, options);
  }

  /** Nest deletes `prototype` from bodies here, at any depth. The parser of bodies refuses the names that do harm, and the others are data. */
  protected override stripProtoKeys(): void {}

  /** Nest's own pipe accepts `null` as an empty object, and an array as a list of bodies. Both are rejected here. */
  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    const isBody = metadata.type === 'body';
    // Single parameters have pipes of their own; only bodies and whole queries are DTOs.
    if (!isBody && (metadata.type !== 'query' || metadata.data !== undefined)) return value;
    if (isBody && (typeof value !== 'object' || value === null || Array.isArray(value))) {
      throw new ProblemException('invalid-request', 'The body must be a JSON object, sent as application/json');
    }
    rejectSkippedNames(value as object, isBody);
    if (isBody) rejectDeepNesting(value as object);
    try {
      return await super.transform(value, metadata);
    } catch (error) {
      if (!(error instanceof InvalidFields)) throw error;
      throw wrongFields(error.fields.flatMap((field) => describe(field, isBody ? '' : undefined)));
    }
  }
}

/** Builds the 400 response that lists invalid fields. */
export function wrongFields(errors: readonly FieldError[], detail = 'The request has invalid fields'): ProblemException {
  return new ProblemException('invalid-request', detail, { errors });
}

/** Rejects deeply nested bodies before class-transformer, which is recursive, overflows the stack on them. */
function rejectDeepNesting(body: object): void {
  const tooDeep = Object.entries(body).filter(([, value]) => !isWithin(MAX_NESTING, value));
  if (tooDeep.length > 0) {
    const detail = `must not be nested deeper than ${MAX_NESTING} levels`;
    throw wrongFields(tooDeep.map(([field]) => named(field, detail, pointerTo('', field))));
  }
}

/**
 * Rejects fields with the names of properties that every object has, as in `toString`: class-transformer leaves them out, so that class-validator
 * would not see that no DTO declares them.
 */
function rejectSkippedNames(value: object, isBody: boolean): void {
  const skipped = Object.keys(value).filter((name) => name in Object.prototype);
  if (skipped.length === 0) return;
  throw wrongFields(skipped.map((field) => named(field, UNKNOWN_FIELD, isBody ? pointerTo('', field) : undefined)));
}

/** Whether objects and arrays are nested at most `levels` deep. */
export function isWithin(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((item) => isWithin(levels - 1, item));
}

/** @param parent the JSON pointer to the object that contains the field; undefined outside a body. */
function describe({ property, constraints, children }: ValidationError, parent: string | undefined): FieldError[] {
  const pointer = parent === undefined ? undefined : pointerTo(parent, property);
  const own = Object.entries(constraints ?? {}).map(([rule, detail]) =>
    named(property, rule === 'whitelistValidation' ? UNKNOWN_FIELD : detail, pointer),
  );
  return [...own, ...(children ?? []).flatMap((child) => describe(child, pointer))];
}

/** Builds the report about one field. A name that could contain an email is not quoted. */
function named(field: string, detail: string, pointer: string | undefined): FieldError {
  if (!/^[^@\s]{1,64}$/.test(field)) return { field: '(unknown field)', detail };
  return { field, detail, ...(pointer === undefined ? {} : { pointer }) };
}

/** Builds a JSON pointer (RFC 6901). */
function pointerTo(parent: string, name: string): string {
  return `${parent}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** {@link isPgText} as a pattern for the OpenAPI document, where strings are always well-formed. */
export const PG_TEXT_PATTERN = '^[^\\u0000]*$';

/**
 * Whether PostgreSQL can store a value and everything inside it as text: its text cannot contain U+0000 (SQLSTATE 22021), and UTF-8 cannot
 * encode a lone surrogate.
 */
export function isPgText(value: unknown): boolean {
  if (typeof value === 'string') return !value.includes('\u0000') && value.isWellFormed();
  if (Array.isArray(value)) return value.every(isPgText);
  if (typeof value === 'object' && value !== null) return Object.entries(value).every(([key, item]) => isPgText(key) && isPgText(item));
  return true;
}

/** Validates a property with {@link isPgText}. */
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
