import { BadRequestException, ValidationPipe, type ValidationError } from '@nestjs/common';
import type { FieldError } from '#operations';

/** Class-validator's pipe: what is not described is refused, and every wrong field is named. */
export const validationPipe = new ValidationPipe({
  whitelist: true,
  forbidNonWhitelisted: true,
  forbidUnknownValues: true,
  transform: true,
  exceptionFactory: (errors) =>
    new BadRequestException({ message: 'The request has wrong fields', errors: errors.flatMap((error) => describe(error)) }),
});

function describe({ property, constraints, children }: ValidationError): FieldError[] {
  const own = Object.entries(constraints ?? {}).map(([rule, detail]) => ({
    field: property,
    detail: rule === 'whitelistValidation' ? 'is unknown' : detail,
  }));
  return [...own, ...(children ?? []).flatMap((child) => describe(child))];
}
