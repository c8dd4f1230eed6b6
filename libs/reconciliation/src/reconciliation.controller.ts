import {
  Body,
  type CallHandler,
  Controller,
  type ExecutionContext,
  Get,
  HttpCode,
  type NestInterceptor,
  Param,
  Post,
  Query,
  Req,
  UseInterceptors,
} from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiAcceptedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { map, type Observable } from 'rxjs';
import { initiatorOf } from '#audit';
import { ApiProblems, IdPipe, mayExport, NUMBER_OF_QUERY, PageById, RequireScope } from '#http';
import { DifferencePage, ListDifferences, RunPage, RunView, StartResync, StartRun } from './reconciliation.dto.js';
import { CancelRunCommand, PauseRunCommand, ResumeRunCommand, StartRunCommand } from './run.commands.js';
import { GetRunQuery, ListDifferencesQuery, ListRunsQuery } from './run.queries.js';

const runId = new IdPipe('run');
const IdParam = (): MethodDecorator => ApiParam({ name: 'id', example: 12, schema: NUMBER_OF_QUERY });
const id = '$response.body#/id';
const LINKS = Object.fromEntries(
  ['getRun', 'pauseRun', 'resumeRun', 'cancelRun'].map((operationId) => [operationId, { operationId, parameters: { id } }]),
);

const GOES_FIRST = 'A scheduled run that is in progress gives way, and continues afterwards. Any other run in progress is a 409';

/** Fields of runs and differences that hold an email. */
const EMAIL_FIELDS = ['email', 'position', 'after_email', 'until_email'] as const;
type WithEmails = Partial<Record<(typeof EMAIL_FIELDS)[number], string | null>>;

/** Masks the emails in answers to a caller without the scope `export`: an operator needs to see the cause of a difference, not whose it is. */
class MaskEmails implements NestInterceptor {
  intercept(host: ExecutionContext, next: CallHandler<WithEmails | { data: WithEmails[] }>): Observable<unknown> {
    if (mayExport(host.switchToHttp().getRequest<object>())) return next.handle();
    return next.handle().pipe(map((answer) => ('data' in answer ? { ...answer, data: answer.data.map(masked) } : masked(answer))));
  }
}

function masked(answer: WithEmails): WithEmails {
  const entries = EMAIL_FIELDS.flatMap((name) => (typeof answer[name] === 'string' ? [[name, maskedEmail(answer[name])] as const] : []));
  return { ...answer, ...Object.fromEntries(entries) };
}

/** Returns `g***@e***` for grace@example.com: a domain may belong to one person, too. */
function maskedEmail(email: string): string {
  return email
    .split('@')
    .map((part) => (part.length > 1 ? `${Array.from(part)[0]!}***` : part))
    .join('@');
}

/** Runs that compare Database 1 with Database 2. Served where the sync role runs and Database 2 is configured. */
@ApiTags('reconciliation')
@Controller('reconciliation')
@RequireScope('operate')
@UseInterceptors(MaskEmails)
export class ReconciliationController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Post('runs')
  @HttpCode(202)
  @ApiOperation({
    operationId: 'startComparison',
    summary: 'Compare both databases now and, unless disabled, repair all differences',
    description: GOES_FIRST,
  })
  @ApiAcceptedResponse({ type: RunView, description: 'The run. It starts within seconds', links: LINKS })
  @ApiProblems('conflict')
  async start(
    @Body() { repair = true, scope = 'all', after_email = '', until_email, load = 100 }: StartRun,
    @Req() sent: object,
  ): Promise<RunView> {
    const request = { repair, scope, after_email, until_email: until_email ?? null, load };
    return this.run(await this.commands.execute(new StartRunCommand(request, initiatorOf(sent))));
  }

  @Post('resyncs')
  @HttpCode(202)
  @ApiOperation({
    operationId: 'startResync',
    summary: 'Backfill: copy all rows of a range to Database 2 again, then compare and repair the range',
    description: GOES_FIRST,
  })
  @ApiAcceptedResponse({ type: RunView, description: 'The run. It starts within seconds', links: LINKS })
  @ApiProblems('conflict')
  async resync(@Body() { after_email = '', until_email, rate, publish }: StartResync, @Req() sent: object): Promise<RunView> {
    const kind = publish ? 'republish' : 'resync';
    const request = { kind, after_email, until_email: until_email ?? null, rate: rate ?? null } as const;
    return this.run(await this.commands.execute(new StartRunCommand(request, initiatorOf(sent))));
  }

  @Post('runs/:id/pause')
  @HttpCode(200)
  @IdParam()
  @ApiOperation({ operationId: 'pauseRun', summary: 'Pause a run. It keeps its position, and other runs may start' })
  @ApiOkResponse({ type: RunView, description: 'The run' })
  @ApiProblems(404, 'conflict')
  async pause(@Param('id', runId) id: number, @Req() request: object): Promise<RunView> {
    await this.commands.execute(new PauseRunCommand(id, initiatorOf(request)));
    return this.run(id);
  }

  @Post('runs/:id/resume')
  @HttpCode(200)
  @IdParam()
  @ApiOperation({ operationId: 'resumeRun', summary: 'Resume a paused run', description: GOES_FIRST })
  @ApiOkResponse({ type: RunView, description: 'The run' })
  @ApiProblems(404, 'conflict')
  async resume(@Param('id', runId) id: number, @Req() request: object): Promise<RunView> {
    await this.commands.execute(new ResumeRunCommand(id, initiatorOf(request)));
    return this.run(id);
  }

  @Post('runs/:id/cancel')
  @HttpCode(200)
  @IdParam()
  @ApiOperation({ operationId: 'cancelRun', summary: 'Cancel a run. Rows that it has repaired stay repaired' })
  @ApiOkResponse({ type: RunView, description: 'The run. It ends within seconds, with the outcome cancelled' })
  @ApiProblems(404, 'conflict')
  async cancel(@Param('id', runId) id: number, @Req() request: object): Promise<RunView> {
    await this.commands.execute(new CancelRunCommand(id, initiatorOf(request)));
    return this.run(id);
  }

  @Get('runs')
  @ApiOperation({ operationId: 'listRuns', summary: 'List runs, the newest first' })
  @ApiOkResponse({ type: RunPage, description: 'A page of runs' })
  runs(@Query() options: PageById): Promise<RunPage> {
    return this.queries.execute(new ListRunsQuery(options));
  }

  @Get('runs/:id')
  @IdParam()
  @ApiOperation({ operationId: 'getRun', summary: 'Read a run with its progress' })
  @ApiOkResponse({ type: RunView, description: 'The run' })
  @ApiProblems(404)
  run(@Param('id', runId) id: number): Promise<RunView> {
    return this.queries.execute(new GetRunQuery(id));
  }

  @Get('differences')
  @ApiOperation({ operationId: 'listDifferences', summary: 'List the differences that runs have found, the newest first' })
  @ApiOkResponse({ type: DifferencePage, description: 'A page of differences' })
  differences(@Query() options: ListDifferences): Promise<DifferencePage> {
    return this.queries.execute(new ListDifferencesQuery(options));
  }
}
