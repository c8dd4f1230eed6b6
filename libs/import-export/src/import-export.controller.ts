import { Controller, Get, Headers, Param, type PipeTransform, Post, Query, Req, Res } from '@nestjs/common';
import { ApiCreatedResponse, ApiExtraModels, ApiOkResponse, ApiOperation, ApiParam, ApiTags, getSchemaPath } from '@nestjs/swagger';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { isUUID } from 'class-validator';
import { initiatorOf } from '#audit';
import {
  ApiProblems,
  credentialSignal,
  EVENT_STREAM,
  location,
  RequireScope,
  StreamingResponses,
  type StreamingReply,
  wrongFields,
} from '#http';
import { RequestContext, type SubscriptionRequestContext } from '#subscriptions';
import { type FileRequest, IMPORT_ROUTES, sentFile } from './accept-files.js';
import { type ExportFormat, ExportSubscriptionsQuery } from './export.js';
import { ExportSubscriptions, FinishedImportView, ImportView, StartImport } from './import-export.dto.js';
import { FollowImportQuery, GetImportQuery } from './import-jobs.js';
import { ImportSubscriptionsCommand } from './import.js';

/** Maximum number of open answers in this process: each uses a connection of the pool while it reads. */
const MAX_OPEN = { exports: 5, streams: 50 };
/** Maximum number of them for one caller. */
const MAX_PER_CALLER = { exports: 2, streams: 12 };
const EXPORT_TYPES = { ndjson: 'application/x-ndjson; charset=utf-8', csv: 'text/csv; charset=utf-8; header=present' };

const JOB = '0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d';
const NDJSON = '{"email":"ada@example.com","status":"active","plan":"pro"}\n';
const CSV = 'email,status,plan\r\nada@example.com,active,pro\r\n';
const FILES = {
  'application/x-ndjson': { schema: { type: 'string' as const }, example: NDJSON },
  'text/csv': { schema: { type: 'string' as const }, example: CSV },
};

class ImportIdPipe implements PipeTransform<string, string> {
  transform(value: string): string {
    if (isUUID(value)) return value;
    throw wrongFields([{ field: 'id', detail: 'must be a UUID' }], 'The path does not name an import');
  }
}

/** Import of a file, its progress, and export. */
@ApiTags('bulk')
@Controller()
@ApiExtraModels(ImportView)
export class ImportExportController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly streaming: StreamingResponses,
  ) {}

  @Post(IMPORT_ROUTES)
  @RequireScope('write')
  @ApiOperation({
    operationId: 'importSubscriptions',
    summary: 'Create or replace subscriptions from a file, one a line',
    requestBody: {
      required: true,
      description:
        'NDJSON: each line is an object with `email` and the fields of PUT except `reason`. JSON: an array of such objects. CSV: with a header line; `metadata` is JSON. The file of an export can be imported. Any of them may be compressed with gzip, and is then also accepted as application/gzip. A form has one file in any of these formats.',
      content: {
        ...FILES,
        'application/json': { schema: { type: 'array', items: {} }, example: [{ email: 'ada@example.com', status: 'active' }] },
        'multipart/form-data': {
          schema: {
            type: 'object',
            properties: { file: { type: 'string', format: 'binary', example: CSV } },
            required: ['file'],
            additionalProperties: false,
          },
        },
      },
    },
  })
  @ApiCreatedResponse({
    type: FinishedImportView,
    description: 'The import has finished: its counts and the errors of its lines',
    headers: location(`/imports/${JOB}`),
    links: { getImport: { operationId: 'getImport', parameters: { id: '$response.body#/id' } } },
  })
  @ApiProblems('conflict', 'unreadable-file')
  async import(
    @Req() request: FileRequest,
    @Query() query: StartImport,
    @Res({ passthrough: true }) reply: StreamingReply,
    @RequestContext() { actor, traceparent }: SubscriptionRequestContext,
  ): Promise<FinishedImportView> {
    const credential = credentialSignal(request, reply.raw);
    const sent = await sentFile(request);
    const context = { actor, origin: 'api', traceparent } as const;
    const options = { id: query.id, dryRun: query.dry_run === 'true', file: query, context, credential, by: initiatorOf(request) };
    const { id, preview } = await this.commands.execute(new ImportSubscriptionsCommand(sent, options));
    reply.header('location', `/imports/${id}`);
    const view = await this.queries.execute(new GetImportQuery(id));
    return preview ? Object.assign(view, { preview }) : view;
  }

  @Get('imports/:id')
  @RequireScope('write')
  @ApiOperation({
    operationId: 'getImport',
    summary: 'Read the progress of an import; with Accept: text/event-stream, follow it until it ends',
  })
  @ApiParam({ name: 'id', example: JOB, schema: { type: 'string', format: 'uuid' } })
  @ApiOkResponse({
    description: 'The job; or a stream of its states, which ends with the job',
    content: {
      'application/json': { schema: { $ref: getSchemaPath(ImportView) } },
      [EVENT_STREAM.type]: { example: `data: {"id":"${JOB}","state":"running","lines":20000, …}\n\n` },
    },
  })
  @ApiProblems(404)
  async read(@Param('id', ImportIdPipe) id: string, @Res() reply: StreamingReply, @Headers('accept') accept?: string): Promise<void> {
    const job = await this.queries.execute(new GetImportQuery(id));
    if (!accept?.includes(EVENT_STREAM.type)) {
      reply.header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(job));
      return;
    }
    const pieces = await this.queries.execute(new FollowImportQuery(job));
    this.streaming.send(reply, {
      kind: 'import streams',
      maxOpen: MAX_OPEN.streams,
      maxPerCaller: MAX_PER_CALLER.streams,
      headers: EVENT_STREAM.headers,
      pieces,
    });
  }

  @Get(['subscriptions/export', 'subscription_status/export'])
  @RequireScope('export')
  @ApiOperation({ operationId: 'exportSubscriptions', summary: 'Export all subscriptions, ordered by email' })
  @ApiOkResponse({
    description: 'One subscription a line',
    content: FILES,
  })
  async export(
    @Query() query: ExportSubscriptions,
    @Req() request: object,
    @Res() reply: StreamingReply,
    @Headers('accept') accept?: string,
  ): Promise<void> {
    const format: ExportFormat = query.format ?? (accept?.includes('text/csv') ? 'csv' : 'ndjson');
    const pieces = await this.queries.execute(new ExportSubscriptionsQuery(format, initiatorOf(request)));
    this.streaming.send(reply, {
      kind: 'exports',
      maxOpen: MAX_OPEN.exports,
      maxPerCaller: MAX_PER_CALLER.exports,
      headers: {
        'content-type': EXPORT_TYPES[format],
        'content-disposition': `attachment; filename="subscriptions.${format}"`,
      },
      pieces,
    });
  }
}
