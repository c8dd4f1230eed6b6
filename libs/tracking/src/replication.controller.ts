import { Controller, Get, Param } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { ApiProblems, RequireScope } from '#operations';
import { EmailPipe } from '#subscriptions';
import { Replication } from './replication.js';
import { ReplicationView } from './tracking.dto.js';

@ApiTags('tracking')
@Controller(['subscriptions', 'subscription_status'])
@RequireScope('read')
export class ReplicationController {
  constructor(private readonly replication: Replication) {}

  @Get(':email/replication')
  @ApiOperation({ summary: 'Tell where the last change of a subscription is' })
  @ApiParam({ name: 'email', example: 'ada@example.com' })
  @ApiOkResponse({ type: ReplicationView })
  @ApiProblems(400, 404, 503)
  read(@Param('email', EmailPipe) email: string): Promise<ReplicationView> {
    return this.replication.of(email);
  }
}
