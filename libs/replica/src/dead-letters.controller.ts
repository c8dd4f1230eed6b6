import { Controller, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { initiatorOf } from '#audit';
import { ApiProblems, IdPipe, mayExport, NUMBER_OF_QUERY, RequireScope } from '#http';
import {
  DeadLetterDetail,
  DeadLetterPage,
  DeadLetterView,
  ListDeadLetters,
  RedriveFilter,
  RedriveResult,
  RedriveSummary,
} from './dead-letter.dto.js';
import { DiscardDeadLetterCommand, RedriveDeadLetterCommand, RedriveDeadLettersCommand } from './dead-letters.commands.js';
import { GetDeadLetterQuery, ListDeadLettersQuery } from './dead-letters.queries.js';

const letterId = new IdPipe('dead letter');
const IdParam = (): MethodDecorator => ApiParam({ name: 'id', example: 7, schema: NUMBER_OF_QUERY });

/** Records that could not be applied to Database 2. Served where the replica role runs. */
@ApiTags('dead letters')
@Controller('dead-letters')
@RequireScope('operate')
export class DeadLettersController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Get()
  @ApiOperation({ operationId: 'listDeadLetters', summary: 'List records that could not be applied' })
  @ApiOkResponse({ type: DeadLetterPage, description: 'A page of dead letters' })
  list(@Query() options: ListDeadLetters): Promise<DeadLetterPage> {
    return this.queries.execute(new ListDeadLettersQuery(options));
  }

  @Get(':id')
  @IdParam()
  @ApiOperation({
    operationId: 'getDeadLetter',
    summary: 'Read a dead letter; with the scope export also its bytes, which hold personal data',
  })
  @ApiOkResponse({ type: DeadLetterDetail, description: 'The dead letter' })
  @ApiProblems(404)
  read(@Param('id', letterId) id: number, @Req() request: object): Promise<DeadLetterDetail> {
    return this.queries.execute(new GetDeadLetterQuery(id, mayExport(request)));
  }

  @Post('redrive')
  @HttpCode(200)
  @ApiOperation({ operationId: 'redriveDeadLetters', summary: 'Retry all open dead letters, or those that match the filter' })
  @ApiOkResponse({ type: RedriveSummary, description: 'The number of dead letters by outcome' })
  redriveAll(@Query() filter: RedriveFilter, @Req() request: object): Promise<RedriveSummary> {
    return this.commands.execute(new RedriveDeadLettersCommand(filter, initiatorOf(request)));
  }

  @Post(':id/redrive')
  @HttpCode(200)
  @IdParam()
  @ApiOperation({ operationId: 'redriveDeadLetter', summary: 'Retry a dead letter. It cannot undo a newer change' })
  @ApiOkResponse({ type: RedriveResult, description: 'The outcome' })
  @ApiProblems(404, 'conflict')
  redrive(@Param('id', letterId) id: number, @Req() request: object): Promise<RedriveResult> {
    return this.commands.execute(new RedriveDeadLetterCommand(id, initiatorOf(request)));
  }

  @Post(':id/discard')
  @HttpCode(200)
  @IdParam()
  @ApiOperation({ operationId: 'discardDeadLetter', summary: 'Mark a dead letter as not to be applied' })
  @ApiOkResponse({ type: DeadLetterView, description: 'The discarded dead letter; its bytes stay stored' })
  @ApiProblems(404, 'conflict')
  discard(@Param('id', letterId) id: number, @Req() request: object): Promise<DeadLetterView> {
    return this.commands.execute(new DiscardDeadLetterCommand(id, initiatorOf(request)));
  }
}
