import { Controller, Get, Param } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiProblems, RequireScope } from '#http';
import { EmailParam, EmailPipe } from '#subscriptions';
import { Replication } from './replication.js';
import { ReplicationView } from './tracking.dto.js';

@ApiTags('tracking')
@Controller(['subscriptions', 'subscription_status'])
@RequireScope('read')
export class ReplicationController {
  constructor(private readonly replication: Replication) {}

  @Get(':email/replication')
  @ApiOperation({ operationId: 'getSubscriptionReplication', summary: 'Tell where the last change of a subscription is' })
  @EmailParam()
  @ApiOkResponse({ type: ReplicationView, description: 'Where it is' })
  @ApiProblems(404)
  read(@Param('email', EmailPipe) email: string): Promise<ReplicationView> {
    return this.replication.of(email);
  }
}
