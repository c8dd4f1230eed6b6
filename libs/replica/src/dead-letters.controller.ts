import { Controller, Get, HttpCode, Param, Post, Query, UsePipes } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { ApiProblems, IdPipe, NUMBER_OF_QUERY, requestPipe, RequireScope } from '#http';
import {
  DeadLetterDetail,
  DeadLetterPage,
  DeadLetterView,
  ListDeadLetters,
  RedriveFilter,
  RedriveResult,
  RedriveSummary,
} from './dead-letter.dto.js';
import { DeadLetters } from './dead-letters.js';

const letterId = new IdPipe('dead letter');
const IdParam = (): MethodDecorator => ApiParam({ name: 'id', example: 7, schema: NUMBER_OF_QUERY });

/** Records that could not be applied to Database 2. Served where the replica role runs. */
@ApiTags('dead letters')
@Controller('dead-letters')
@RequireScope('read')
@UsePipes(requestPipe)
export class DeadLettersController {
  constructor(private readonly letters: DeadLetters) {}

  @Get()
  @ApiOperation({ operationId: 'listDeadLetters', summary: 'List records that could not be applied' })
  @ApiOkResponse({ type: DeadLetterPage, description: 'A page of them' })
  list(@Query() options: ListDeadLetters): Promise<DeadLetterPage> {
    return this.letters.list(options);
  }

  @Get(':id')
  @IdParam()
  @ApiOperation({ operationId: 'getDeadLetter', summary: 'Read one with its bytes, which hold personal data' })
  @ApiOkResponse({ type: DeadLetterDetail, description: 'The record' })
  @ApiProblems(404)
  read(@Param('id', letterId) id: number): Promise<DeadLetterDetail> {
    return this.letters.get(id);
  }

  @Post('redrive')
  @RequireScope('operate')
  @HttpCode(200)
  @ApiOperation({ operationId: 'redriveDeadLetters', summary: 'Try all open ones again, or those that the filter names' })
  @ApiOkResponse({ type: RedriveSummary, description: 'How many, and what came of them' })
  redriveAll(@Query() filter: RedriveFilter): Promise<RedriveSummary> {
    return this.letters.redriveAll(filter);
  }

  @Post(':id/redrive')
  @RequireScope('operate')
  @HttpCode(200)
  @IdParam()
  @ApiOperation({ operationId: 'redriveDeadLetter', summary: 'Try one again. It can not undo a newer change' })
  @ApiOkResponse({ type: RedriveResult, description: 'What came of it' })
  @ApiProblems(404, 'conflict')
  redrive(@Param('id', letterId) id: number): Promise<RedriveResult> {
    return this.letters.redrive(id);
  }

  @Post(':id/discard')
  @RequireScope('operate')
  @HttpCode(200)
  @IdParam()
  @ApiOperation({ operationId: 'discardDeadLetter', summary: 'Say that one will not be applied' })
  @ApiOkResponse({ type: DeadLetterView, description: 'It is discarded; its bytes stay' })
  @ApiProblems(404, 'conflict')
  discard(@Param('id', letterId) id: number): Promise<DeadLetterView> {
    return this.letters.discard(id);
  }
}
