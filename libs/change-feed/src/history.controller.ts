import { Controller, Get, Header, Param, Query } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiProblems, RequireScope } from '#http';
import { EmailParam, EmailPipe } from '#subscriptions';
import { HistoryPage, ListHistory } from './change-feed.dto.js';
import { ListHistoryQuery } from './history.query.js';

@ApiTags('history')
@Controller(['subscriptions', 'subscription_status'])
@RequireScope('read')
export class HistoryController {
  constructor(private readonly queries: QueryBus) {}

  @Get(':email/history')
  @Header('content-type', 'application/json; charset=utf-8')
  @ApiOperation({
    operationId: 'getSubscriptionHistory',
    summary: 'List the changes of a subscription, newest first: who changed it, when, why, and from what to what',
  })
  @EmailParam()
  @ApiOkResponse({ type: HistoryPage, description: 'A page of the changes' })
  @ApiProblems(404)
  list(@Param('email', EmailPipe) email: string, @Query() options: ListHistory): Promise<string> {
    return this.queries.execute(new ListHistoryQuery(email, options));
  }
}
