import { Controller, Get, HttpCode, Param, Post, Query, UsePipes } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { ApiProblems, IdPipe, RequireScope, requestPipe } from '#operations';
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
const IdParam = (): MethodDecorator => ApiParam({ name: 'id', example: 7 });

/** Records that could not be applied to Database 2. Served where the replica role runs. */
@ApiTags('dead letters')
@Controller('dead-letters')
@RequireScope('read')
@UsePipes(requestPipe)
export class DeadLettersController {
  constructor(private readonly letters: DeadLetters) {}

  @Get()
  @ApiOperation({ summary: 'List records that could not be applied' })
  @ApiOkResponse({ type: DeadLetterPage })
  @ApiProblems(400, 503)
  list(@Query() options: ListDeadLetters): Promise<DeadLetterPage> {
    return this.letters.list(options);
  }

  @Get(':id')
  @IdParam()
  @ApiOperation({ summary: 'Read one with its bytes, which hold personal data' })
  @ApiOkResponse({ type: DeadLetterDetail })
  @ApiProblems(400, 404, 503)
  read(@Param('id', letterId) id: number): Promise<DeadLetterDetail> {
    return this.letters.get(id);
  }

  @Post('redrive')
  @RequireScope('operate')
  @HttpCode(200)
  @ApiOperation({ summary: 'Try all open ones again, or those that the filter names' })
  @ApiOkResponse({ type: RedriveSummary })
  @ApiProblems(400, 503)
  redriveAll(@Query() filter: RedriveFilter): Promise<RedriveSummary> {
    return this.letters.redriveAll(filter);
  }

  @Post(':id/redrive')
  @RequireScope('operate')
  @HttpCode(200)
  @IdParam()
  @ApiOperation({ summary: 'Try one again. It can not undo a newer change' })
  @ApiOkResponse({ type: RedriveResult })
  @ApiProblems(400, 404, 409, 503)
  redrive(@Param('id', letterId) id: number): Promise<RedriveResult> {
    return this.letters.redrive(id);
  }

  @Post(':id/discard')
  @RequireScope('operate')
  @HttpCode(200)
  @IdParam()
  @ApiOperation({ summary: 'Say that one will not be applied' })
  @ApiOkResponse({ type: DeadLetterView })
  @ApiProblems(400, 404, 409, 503)
  discard(@Param('id', letterId) id: number): Promise<DeadLetterView> {
    return this.letters.discard(id);
  }
}
