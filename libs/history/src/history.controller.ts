import { Controller, Get, Header, Param, Query, UsePipes } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { ApiProblems, requestPipe, RequireScope } from '#operations';
import { EmailPipe } from '#subscriptions';
import { HistoryPage, ListHistory } from './history.dto.js';
import { History } from './history.js';

@ApiTags('history')
@Controller(['subscriptions', 'subscription_status'])
@RequireScope('read')
@UsePipes(requestPipe)
export class HistoryController {
  constructor(private readonly history: History) {}

  @Get(':email/history')
  @Header('content-type', 'application/json; charset=utf-8')
  @ApiOperation({ summary: 'List the changes of a subscription, newest first: who, when, why, from what to what' })
  @ApiParam({ name: 'email', example: 'ada@example.com' })
  @ApiOkResponse({ type: HistoryPage })
  @ApiProblems(400, 404, 503)
  list(@Param('email', EmailPipe) email: string, @Query() options: ListHistory): Promise<string> {
    return this.history.list(email, options);
  }
}
