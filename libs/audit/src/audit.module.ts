import { type DynamicModule, Global, Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import type { Settings } from '#config';
import { AuditLog } from './audit-log.js';
import { AuditRetention } from './audit-retention.js';
import { AuditController } from './audit.controller.js';
import { ListAuditHandler } from './audit.query.js';

/** Provides {@link AuditLog}; with the api role also `/access/audit`. */
@Global()
@Module({})
export class AuditModule {
  static forRoot({ roles, db1 }: Settings): DynamicModule {
    const api = roles.includes('api');
    return {
      module: AuditModule,
      imports: api ? [CqrsModule] : [],
      controllers: api ? [AuditController] : [],
      providers: [AuditLog, ...(db1 ? [AuditRetention] : []), ...(api ? [ListAuditHandler] : [])],
      exports: [AuditLog],
    };
  }
}
