import { Body, Controller, Get, Header, HttpCode, Param, Post, Query, UsePipes } from '@nestjs/common';
import { ApiAcceptedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { ApiProblems, IdPipe, NUMBER_OF_QUERY, PageById, requestPipe, RequireScope } from '#http';
import { DifferencePage, ListDifferences, RunPage, RunView, StartResync, StartRun } from './reconciliation.dto.js';
import { RunCommands } from './run.commands.js';
import { RunQueries } from './run.queries.js';
import { RunScheduler } from './scheduler.js';

const RunId = (): MethodDecorator => ApiParam({ name: 'id', example: 12, schema: NUMBER_OF_QUERY });
const id = '$response.body#/id';
const LINKS = Object.fromEntries(
  ['getRun', 'getRunReport', 'pauseRun', 'resumeRun', 'cancelRun'].map((operationId) => [operationId, { operationId, parameters: { id } }]),
);

/** Comparisons of Database 1 with Database 2. Served where the sync role runs and knows Database 2. */
@ApiTags('reconciliation')
@Controller('reconciliation')
@RequireScope('read')
@UsePipes(requestPipe)
export class ReconciliationController {
  constructor(
    private readonly reconciler: RunScheduler,
    private readonly reports: RunQueries,
    private readonly steering: RunCommands,
  ) {}

  @Post('runs')
  @RequireScope('operate')
  @HttpCode(202)
  @ApiOperation({ operationId: 'startComparison', summary: 'Compare both databases now, and repair all that differs unless told not to' })
  @ApiAcceptedResponse({ type: RunView, description: 'It begins within seconds', links: LINKS })
  @ApiProblems('conflict')
  async start(@Body() { repair = true, scope = 'all', after_email = '', until_email, load = 100 }: StartRun): Promise<RunView> {
    return this.reports.run(await this.reconciler.request({ repair, scope, after_email, until_email: until_email ?? null, load }));
  }

  @Post('resyncs')
  @RequireScope('operate')
  @HttpCode(202)
  @ApiOperation({ operationId: 'startResync', summary: 'Bring all rows of a range to Database 2 again, then compare and repair the range' })
  @ApiAcceptedResponse({ type: RunView, description: 'It begins within seconds', links: LINKS })
  @ApiProblems('conflict')
  async resync(@Body() { after_email = '', until_email, rate, publish }: StartResync): Promise<RunView> {
    const kind = publish ? 'republish' : 'resync';
    return this.reports.run(await this.reconciler.request({ kind, after_email, until_email: until_email ?? null, rate: rate ?? null }));
  }

  @Post('runs/:id/pause')
  @RequireScope('operate')
  @HttpCode(200)
  @RunId()
  @ApiOperation({ operationId: 'pauseRun', summary: 'Pause a run: it keeps its place, and others may run meanwhile' })
  @ApiOkResponse({ type: RunView, description: 'The run as it is now' })
  @ApiProblems(404, 'conflict')
  async pause(@Param('id', new IdPipe('run')) id: number): Promise<RunView> {
    await this.steering.pause(id);
    return this.reports.run(id);
  }

  @Post('runs/:id/resume')
  @RequireScope('operate')
  @HttpCode(200)
  @RunId()
  @ApiOperation({ operationId: 'resumeRun', summary: 'Go on with a paused run' })
  @ApiOkResponse({ type: RunView, description: 'The run as it is now' })
  @ApiProblems(404, 'conflict')
  async resume(@Param('id', new IdPipe('run')) id: number): Promise<RunView> {
    await this.steering.resume(id);
    this.reconciler.noticeSoon();
    return this.reports.run(id);
  }

  @Post('runs/:id/cancel')
  @RequireScope('operate')
  @HttpCode(200)
  @RunId()
  @ApiOperation({ operationId: 'cancelRun', summary: 'End a run: what it has repaired stays' })
  @ApiOkResponse({ type: RunView, description: 'It ends within seconds, with the outcome cancelled' })
  @ApiProblems(404, 'conflict')
  async cancel(@Param('id', new IdPipe('run')) id: number): Promise<RunView> {
    await this.steering.cancel(id);
    return this.reports.run(id);
  }

  @Get('runs')
  @ApiOperation({ operationId: 'listRuns', summary: 'List comparisons, the newest first' })
  @ApiOkResponse({ type: RunPage, description: 'A page of them' })
  runs(@Query() options: PageById): Promise<RunPage> {
    return this.reports.runs(options);
  }

  @Get('runs/:id')
  @RunId()
  @ApiOperation({ operationId: 'getRun', summary: 'Read one, with how far it is' })
  @ApiOkResponse({ type: RunView, description: 'The run' })
  @ApiProblems(404)
  run(@Param('id', new IdPipe('run')) id: number): Promise<RunView> {
    return this.reports.run(id);
  }

  @Get('runs/:id/report')
  @RunId()
  @Header('content-type', 'text/html; charset=utf-8')
  @Header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
  @ApiOperation({ operationId: 'getRunReport', summary: 'Read one as a page, to look at or to send to somebody' })
  @ApiOkResponse({ description: 'The page', content: { 'text/html': { schema: { type: 'string' }, example: '<!doctype html>…' } } })
  @ApiProblems(404)
  page(@Param('id', new IdPipe('run')) id: number): Promise<string> {
    return this.reports.page(id);
  }

  @Get('differences')
  @ApiOperation({ operationId: 'listDifferences', summary: 'List what was found, the newest first' })
  @ApiOkResponse({ type: DifferencePage, description: 'A page of them' })
  differences(@Query() options: ListDifferences): Promise<DifferencePage> {
    return this.reports.differences(options);
  }
}
