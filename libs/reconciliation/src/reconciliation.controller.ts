import { BadRequestException, Body, Controller, Get, HttpCode, Param, Post, Query, UsePipes, type PipeTransform } from '@nestjs/common';
import { ApiAcceptedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { ApiProblems, RequireScope, requestPipe } from '#operations';
import { Reconciler } from './reconciler.js';
import { DifferencePage, ListDifferences, ListRuns, RunPage, RunView, StartRun } from './reconciliation.dto.js';
import { Reports } from './reports.js';

/** Ids stay below 2^53. */
class IdPipe implements PipeTransform<string, number> {
  transform(value: string): number {
    if (!/^\d{1,15}$/.test(value)) {
      throw new BadRequestException({ message: 'The path names no run', errors: [{ field: 'id', detail: 'must be a whole number' }] });
    }
    return Number(value);
  }
}

/** Comparisons of Database 1 with Database 2. Served where the sync role runs and knows Database 2. */
@ApiTags('reconciliation')
@Controller('reconciliation')
@RequireScope('read')
@UsePipes(requestPipe)
export class ReconciliationController {
  constructor(
    private readonly reconciler: Reconciler,
    private readonly reports: Reports,
  ) {}

  @Post('runs')
  @RequireScope('operate')
  @HttpCode(202)
  @ApiOperation({ summary: 'Compare both databases now, and repair all that differs unless told not to' })
  @ApiAcceptedResponse({ type: RunView, description: 'It begins within seconds' })
  @ApiProblems(400, 409, 413, 415, 503)
  async start(@Body() { repair }: StartRun): Promise<RunView> {
    return this.reports.run(await this.reconciler.request(repair ?? true));
  }

  @Get('runs')
  @ApiOperation({ summary: 'List comparisons, the newest first' })
  @ApiOkResponse({ type: RunPage })
  @ApiProblems(400, 503)
  runs(@Query() options: ListRuns): Promise<RunPage> {
    return this.reports.runs(options);
  }

  @Get('runs/:id')
  @ApiParam({ name: 'id', example: 12 })
  @ApiOperation({ summary: 'Read one, with how far it is' })
  @ApiOkResponse({ type: RunView })
  @ApiProblems(400, 404, 503)
  run(@Param('id', IdPipe) id: number): Promise<RunView> {
    return this.reports.run(id);
  }

  @Get('differences')
  @ApiOperation({ summary: 'List what was found, the newest first' })
  @ApiOkResponse({ type: DifferencePage })
  @ApiProblems(400, 503)
  differences(@Query() options: ListDifferences): Promise<DifferencePage> {
    return this.reports.differences(options);
  }
}
