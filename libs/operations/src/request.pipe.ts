import { BadRequestException, ValidationPipe, type ArgumentMetadata, type ValidationError } from '@nestjs/common';
import type { FieldError } from './problem.js';

const NESTED_AT_MOST = 100;

/** Class-validator's pipe: what is not described is refused, and every wrong field is named. */
class RequestPipe extends ValidationPipe {
  constructor() {
    super({
      whitelist: true,
      forbidNonWhitelisted: true,
      forbidUnknownValues: true,
      transform: true,
      exceptionFactory: (errors) =>
        new BadRequestException({ message: 'The request has wrong fields', errors: errors.flatMap((error) => describe(error)) }),
    });
  }

  /** Nest's takes `null` for an empty object, and a list for what it may hold. */
  override transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    if (metadata.type === 'body' && (typeof value !== 'object' || value === null || Array.isArray(value))) {
      throw new BadRequestException('The body must be a JSON object, sent as application/json');
    }
    if (metadata.type === 'body') refuseEndlessNesting(value as object);
    return super.transform(value, metadata);
  }
}

export const requestPipe = new RequestPipe();

/** Before class-transformer goes into it: its recursion ends in an overflow of the stack. */
function refuseEndlessNesting(body: object): void {
  const deep = Object.entries(body).filter(([, value]) => !isWithin(NESTED_AT_MOST, value));
  if (deep.length > 0) {
    throw new BadRequestException({
      message: 'The request has wrong fields',
      errors: deep.map(([field]) => ({ field, detail: `must not be nested deeper than ${NESTED_AT_MOST} levels` })),
    });
  }
}

/** Whether objects and lists are inside each other at most `levels` deep. */
export function isWithin(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((item) => isWithin(levels - 1, item));
}

function describe({ property, constraints, children }: ValidationError): FieldError[] {
  const own = Object.entries(constraints ?? {}).map(([rule, detail]) => ({
    field: property,
    detail: rule === 'whitelistValidation' ? 'is unknown' : detail,
  }));
  return [...own, ...(children ?? []).flatMap((child) => describe(child))];
}
