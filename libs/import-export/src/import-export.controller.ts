import { Readable } from 'node:stream';
import {
  Controller,
  Get,
  Headers,
  Param,
  type PipeTransform,
  Post,
  Query,
  Req,
  Res,
  UnsupportedMediaTypeException,
  UsePipes,
} from '@nestjs/common';
import {
  ApiBody,
  ApiConsumes,
  ApiCreatedResponse,
  ApiExtraModels,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiTags,
  getSchemaPath,
} from '@nestjs/swagger';
import { isUUID } from 'class-validator';
import {
  ApiProblems,
  EVENT_STREAM,
  location,
  requestPipe,
  RequireScope,
  StreamingResponses,
  type StreamingReply,
  wrongFields,
} from '#http';
import { RequestContext, type SubscriptionRequestContext } from '#subscriptions';
import { ExportPages } from './export.js';
import { ExportSubscriptions, ImportView, StartImport } from './import-export.dto.js';
import { FollowImport, ImportJobs } from './import-jobs.js';
import { FORMATS, type ImportFormat, RunImport } from './import.js';

/** What of Fastify's request is needed here. */
interface Request {
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** Open at once in this process: each holds a connection of the pool while a page is read. */
const MAX_FILE_BYTES = { exports: 5, streams: 50 };
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
    throw wrongFields([{ field: 'id', detail: 'must be a UUID' }], 'The path names no import');
  }
}

/** Many subscriptions at once. */
@ApiTags('bulk')
@Controller()
@UsePipes(requestPipe)
@ApiExtraModels(ImportView)
export class ImportExportController {
  constructor(
    private readonly runImport: RunImport,
    private readonly jobs: ImportJobs,
    private readonly followImport: FollowImport,
    private readonly pages: ExportPages,
    private readonly answers: StreamingResponses,
  ) {}

  @Post(['subscriptions/import', 'subscription_status/import'])
  @RequireScope('write')
  @ApiOperation({ operationId: 'importSubscriptions', summary: 'Create or replace subscriptions from a file, a line each' })
  @ApiConsumes(...Object.keys(FILES))
  @ApiBody({
    description:
      'NDJSON: the fields of PUT but `reason`, and `email`, on each line. CSV: with a header; `metadata` as JSON. What an export gives is taken.',
    schema: { type: 'string' },
    // Each is named after the type that it is of.
    examples: { 'application/x-ndjson': { value: NDJSON }, 'text/csv': { value: CSV } },
  })
  @ApiCreatedResponse({
    type: ImportView,
    description: 'It has ended: what came of each line',
    headers: location(`/imports/${JOB}`),
    links: { getImport: { operationId: 'getImport', parameters: { id: '$response.body#/id' } } },
  })
  @ApiProblems('conflict', 'unreadable-file')
  async import(
    @Req() request: Request,
    @Query() { id, dry_run: dryRun }: StartImport,
    @Res({ passthrough: true }) reply: StreamingReply,
    @RequestContext() { actor, traceparent }: SubscriptionRequestContext,
  ): Promise<ImportView> {
    const format = formatOf(request);
    const options = { id, dryRun: dryRun === 'true', context: { actor, origin: 'api', traceparent } as const };
    const job = await this.runImport.run(request.body as Readable, format, options);
    reply.header('location', `/imports/${job}`);
    return this.jobs.get(job);
  }

  @Get('imports/:id')
  @RequireScope('read')
  @ApiOperation({ operationId: 'getImport', summary: 'Tell how far an import is; with Accept: text/event-stream, until it ends' })
  @ApiParam({ name: 'id', example: JOB, schema: { type: 'string', format: 'uuid' } })
  @ApiOkResponse({
    description: 'The job; or as a stream, which ends with it',
    content: {
      'application/json': { schema: { $ref: getSchemaPath(ImportView) } },
      [EVENT_STREAM.type]: { example: `data: {"id":"${JOB}","state":"running","lines":20000, …}\n\n` },
    },
  })
  @ApiProblems(404)
  async read(@Param('id', ImportIdPipe) id: string, @Res() reply: StreamingReply, @Headers('accept') accept?: string): Promise<void> {
    const job = await this.jobs.get(id);
    if (!accept?.includes(EVENT_STREAM.type)) {
      reply.header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(job));
      return;
    }
    this.answers.send(reply, {
      kind: 'import streams',
      atMost: MAX_FILE_BYTES.streams,
      headers: EVENT_STREAM.headers,
      pieces: (signal) => this.followImport.stream(job, signal),
    });
  }

  @Get(['subscriptions/export', 'subscription_status/export'])
  @RequireScope('export')
  @ApiOperation({ operationId: 'exportSubscriptions', summary: 'All subscriptions, by email' })
  @ApiOkResponse({
    description: 'A line each',
    content: FILES,
  })
  export(@Query() query: ExportSubscriptions, @Res() reply: StreamingReply, @Headers('accept') accept?: string): void {
    const format = query.format ?? (accept?.includes('text/csv') ? 'csv' : 'ndjson');
    this.answers.send(reply, {
      kind: 'exports',
      atMost: MAX_FILE_BYTES.exports,
      headers: {
        'content-type': EXPORT_TYPES[format],
        'content-disposition': `attachment; filename="subscriptions.${format}"`,
        'cache-control': 'no-store',
      },
      pieces: (signal) => this.pages[format](signal),
    });
  }
}

/** The parsers of {@link FORMATS} hand the stream on; anything else has no file in it. */
function formatOf({ body, headers }: Request): ImportFormat {
  const type = headers['content-type']?.split(';')[0]!.trim().toLowerCase();
  const format = (Object.keys(FORMATS) as ImportFormat[]).find((candidate) => candidate === type);
  if (format && body instanceof Readable) return format;
  throw new UnsupportedMediaTypeException(`The file must be sent as ${Object.keys(FORMATS).join(' or ')}`);
}
