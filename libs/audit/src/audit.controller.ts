import { Controller, Get, Query } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { RequireScope } from '#http';
import { AuditPage, ListAudit } from './audit.dto.js';
import { ListAuditQuery } from './audit.query.js';

/** The audit log, for administrators. Served with the api role. */
@ApiTags('access')
@Controller('access/audit')
@RequireScope('admin')
export class AuditController {
  constructor(private readonly queries: QueryBus) {}

  @Get()
  @ApiOperation({ operationId: 'listAudit', summary: 'List administrative acts: who did what, from where and when' })
  @ApiOkResponse({ type: AuditPage, description: 'A page of acts, newest first' })
  list(@Query() options: ListAudit): Promise<AuditPage> {
    return this.queries.execute(new ListAuditQuery(options));
  }
}
