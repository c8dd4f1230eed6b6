import { Body, Controller, Get, Header, HttpCode, Param, Post, Query, UsePipes } from '@nestjs/common';
import { ApiAcceptedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiProduces, ApiTags } from '@nestjs/swagger';
import { ApiProblems, IdPipe, PageById, RequireScope, requestPipe } from '#operations';
import { Reconciler } from './reconciler.js';
import { DifferencePage, ListDifferences, RunPage, RunView, StartResync, StartRun } from './reconciliation.dto.js';
import { Reports } from './reports.js';
import { Steering } from './steering.js';

const RunId = (): MethodDecorator => ApiParam({ name: 'id', example: 12 });

/** Comparisons of Database 1 with Database 2. Served where the sync role runs and knows Database 2. */
@ApiTags('reconciliation')
@Controller('reconciliation')
@RequireScope('read')
@UsePipes(requestPipe)
export class ReconciliationController {
  constructor(
    private readonly reconciler: Reconciler,
    private readonly reports: Reports,
    private readonly steering: Steering,
  ) {}

  @Post('runs')
  @RequireScope('operate')
  @HttpCode(202)
  @ApiOperation({ summary: 'Compare both databases now, and repair all that differs unless told not to' })
  @ApiAcceptedResponse({ type: RunView, description: 'It begins within seconds' })
  @ApiProblems(400, 409, 413, 415, 503)
  async start(@Body() { repair = true, scope = 'all', after_email = '', until_email, load = 100 }: StartRun): Promise<RunView> {
    return this.reports.run(await this.reconciler.request({ repair, scope, after_email, until_email: until_email ?? null, load }));
  }

  @Post('resyncs')
  @RequireScope('operate')
  @HttpCode(202)
  @ApiOperation({ summary: 'Publish all rows of a range anew, and remove from Database 2 what only it has' })
  @ApiAcceptedResponse({ type: RunView, description: 'It begins within seconds' })
  @ApiProblems(400, 409, 413, 415, 503)
  async resync(@Body() { after_email = '', until_email, rate }: StartResync): Promise<RunView> {
    const task = { kind: 'resync', after_email, until_email: until_email ?? null, rate: rate ?? null } as const;
    return this.reports.run(await this.reconciler.request(task));
  }

  @Post('runs/:id/pause')
  @RequireScope('operate')
  @HttpCode(200)
  @RunId()
  @ApiOperation({ summary: 'Pause a run: it keeps its place, and others may run meanwhile' })
  @ApiOkResponse({ type: RunView })
  @ApiProblems(400, 404, 409, 503)
  async pause(@Param('id', new IdPipe('run')) id: number): Promise<RunView> {
    await this.steering.pause(id);
    return this.reports.run(id);
  }

  @Post('runs/:id/resume')
  @RequireScope('operate')
  @HttpCode(200)
  @RunId()
  @ApiOperation({ summary: 'Go on with a paused run' })
  @ApiOkResponse({ type: RunView })
  @ApiProblems(400, 404, 409, 503)
  async resume(@Param('id', new IdPipe('run')) id: number): Promise<RunView> {
    await this.steering.resume(id);
    this.reconciler.noticeSoon();
    return this.reports.run(id);
  }

  @Post('runs/:id/cancel')
  @RequireScope('operate')
  @HttpCode(200)
  @RunId()
  @ApiOperation({ summary: 'End a run: what it has repaired stays' })
  @ApiOkResponse({ type: RunView, description: 'It ends within seconds, with the outcome cancelled' })
  @ApiProblems(400, 404, 409, 503)
  async cancel(@Param('id', new IdPipe('run')) id: number): Promise<RunView> {
    await this.steering.cancel(id);
    return this.reports.run(id);
  }

  @Get('runs')
  @ApiOperation({ summary: 'List comparisons, the newest first' })
  @ApiOkResponse({ type: RunPage })
  @ApiProblems(400, 503)
  runs(@Query() options: PageById): Promise<RunPage> {
    return this.reports.runs(options);
  }

  @Get('runs/:id')
  @RunId()
  @ApiOperation({ summary: 'Read one, with how far it is' })
  @ApiOkResponse({ type: RunView })
  @ApiProblems(400, 404, 503)
  run(@Param('id', new IdPipe('run')) id: number): Promise<RunView> {
    return this.reports.run(id);
  }

  @Get('runs/:id/report')
  @RunId()
  @Header('content-type', 'text/html; charset=utf-8')
  @Header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
  @ApiOperation({ summary: 'Read one as a page, to look at or to send to somebody' })
  @ApiProduces('text/html')
  @ApiOkResponse({ schema: { type: 'string' } })
  @ApiProblems(400, 404, 503)
  page(@Param('id', new IdPipe('run')) id: number): Promise<string> {
    return this.reports.page(id);
  }

  @Get('differences')
  @ApiOperation({ summary: 'List what was found, the newest first' })
  @ApiOkResponse({ type: DifferencePage })
  @ApiProblems(400, 503)
  differences(@Query() options: ListDifferences): Promise<DifferencePage> {
    return this.reports.differences(options);
  }
}
