import { Inject, Injectable } from '@nestjs/common';
import { registerDecorator, type ValidationArguments } from 'class-validator';
import { SETTINGS, type Settings } from '#config';
import { STATUSES, type StatusTransitions, transitionsFor } from '#events';
import { ruleContextOf } from '#http';
import { type Database, DB1 } from '#postgres';

/** The statuses that writes may set, and their transitions. */
@Injectable()
export class AcceptedStatuses {
  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(SETTINGS) private readonly settings: Settings,
  ) {}

  /** @throws DatabaseUnavailableError while it is not known whether the column has an enum type. */
  get list(): readonly string[] {
    return this.own ?? STATUSES;
  }

  /** The transitions for which the functions of DB1 were made. @throws DatabaseUnavailableError as `list` does. */
  get transitions(): StatusTransitions {
    return transitionsFor(this.settings.mapping.transitionsFile?.transitions, this.own);
  }

  /** The statuses of the column's enum type, else those of the setting STATUSES; undefined for the built-in ones. */
  private get own(): readonly string[] | undefined {
    return this.db1.table.statuses ?? this.settings.mapping.statuses;
  }
}

/** The rule of a field with one of these statuses. */
export function statusRule(statuses: readonly string[]): string {
  return `must be one of ${statuses.join(', ')}`;
}

/** Validates a status by the {@link AcceptedStatuses} of the application. */
export function IsAcceptedStatus(): PropertyDecorator {
  const statusesFor = (args?: ValidationArguments): readonly string[] => (ruleContextOf(args!.object) as AcceptedStatuses).list;
  return (target, property) => {
    registerDecorator({
      name: 'isAcceptedStatus',
      target: target.constructor,
      propertyName: String(property),
      validator: {
        validate: (value: unknown, args) => typeof value === 'string' && statusesFor(args).includes(value),
        defaultMessage: (args) => statusRule(statusesFor(args)),
      },
    });
  };
}
