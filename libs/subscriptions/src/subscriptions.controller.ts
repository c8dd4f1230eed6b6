import { Body, Controller, Delete, Get, Header, Param, Patch, Post, Put, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import {
  ApiBody,
  ApiConsumes,
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiResponse,
  ApiTags,
} from '@nestjs/swagger';
import { ApiProblems, RequireScope, requestPipe } from '#operations';
import { CreateSubscriptionCommand } from './create-subscription.command.js';
import { DeleteSubscriptionCommand } from './delete-subscription.command.js';
import { EmailPipe } from './email.js';
import { GetSubscriptionQuery } from './get-subscription.query.js';
import { ListSubscriptions, SubscriptionPage } from './list-subscriptions.dto.js';
import { ListSubscriptionsQuery } from './list-subscriptions.query.js';
import { PatchSubscriptionCommand } from './patch-subscription.command.js';
import { etagOf, names, preconditionFailed } from './preconditions.js';
import { PutSubscriptionCommand } from './put-subscription.command.js';
import type { WrittenSubscription } from './subscription-writer.js';
import { CreateSubscription, DeleteOptions, PatchSubscription, PutSubscription, SubscriptionView } from './subscription.dto.js';
import { ETAG, IdempotencyKeyHeader, PreconditionHeaders, RequestIdHeader } from './write-headers.js';
import { Write, type WriteRequest } from './write-request.js';

/** What of Fastify's reply the controller needs. */
interface Reply {
  code(status: number): Reply;
  header(name: string, value: string): Reply;
}

const JSON_TYPE = 'application/json; charset=utf-8';
const STATUS = { created: 201, updated: 200, deleted: 204 } as const;
const LOCATION = { Location: { description: 'Its path', schema: { type: 'string' as const } } };
const LINK = { Link: { description: 'The next page, rel="next"; absent on the last', schema: { type: 'string' as const } } };
const REFUSES = 'Otherwise 412.';

const EmailParam = (): MethodDecorator =>
  ApiParam({ name: 'email', example: 'ada@example.com', description: 'In any letters: it is trimmed and lower-cased' });

/** CRUD of subscriptions in DB1. A 2xx answer means committed. Bodies are the database's own JSON text, passed on as it is. */
@ApiTags('subscriptions')
@Controller(['subscriptions', 'subscription_status'])
@RequireScope('read')
export class SubscriptionsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Post()
  @RequireScope('write')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ summary: 'Create a subscription' })
  @IdempotencyKeyHeader()
  @RequestIdHeader()
  @ApiCreatedResponse({ type: SubscriptionView, headers: { ...ETAG, ...LOCATION } })
  @ApiProblems(400, 'already-exists', 'idempotency-key-in-use', 413, 415, 422, 503)
  async create(
    @Body(requestPipe) body: CreateSubscription,
    @Write() request: WriteRequest,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    return written(reply, await this.commands.execute(new CreateSubscriptionCommand(body, request)));
  }

  @Get()
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ summary: 'List subscriptions' })
  @RequestIdHeader()
  @ApiOkResponse({ type: SubscriptionPage, headers: LINK })
  @ApiProblems(400, 503)
  async list(
    @Query(requestPipe) options: ListSubscriptions,
    @Req() request: { readonly url: string },
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    const { body, next } = await this.queries.execute(new ListSubscriptionsQuery(options));
    if (next !== null) reply.header('link', `<${withCursor(request.url, next)}>; rel="next"`);
    return body;
  }

  @Get(':email')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ summary: 'Read a subscription' })
  @EmailParam()
  @PreconditionHeaders('Otherwise 412, or 304 for If-None-Match.')
  @RequestIdHeader()
  @ApiOkResponse({ type: SubscriptionView, headers: ETAG })
  @ApiResponse({ status: 304, description: 'If-None-Match names its version: nothing has changed', headers: ETAG })
  @ApiProblems(400, 404, 412, 503)
  async read(
    @Param('email', EmailPipe) email: string,
    @Write() { ifMatch, ifNoneMatch }: WriteRequest,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    const { version, body } = await this.queries.execute(new GetSubscriptionQuery(email));
    if (ifMatch !== undefined && !names(ifMatch, version)) throw preconditionFailed('If-Match', version);
    reply.header('etag', etagOf(version));
    if (!names(ifNoneMatch, version)) return body;
    reply.code(304);
    return '';
  }

  @Put(':email')
  @RequireScope('write')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ summary: 'Create or replace a subscription' })
  @EmailParam()
  @PreconditionHeaders(REFUSES)
  @IdempotencyKeyHeader()
  @RequestIdHeader()
  @ApiOkResponse({ type: SubscriptionView, headers: ETAG, description: 'It was there and is replaced' })
  @ApiCreatedResponse({ type: SubscriptionView, headers: { ...ETAG, ...LOCATION }, description: 'It was not there' })
  @ApiProblems(400, 'illegal-transition', 'idempotency-key-in-use', 412, 413, 415, 422, 503)
  async put(
    @Param('email', EmailPipe) email: string,
    @Body(requestPipe) body: PutSubscription,
    @Write() request: WriteRequest,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    return written(reply, await this.commands.execute(new PutSubscriptionCommand(email, body, request)));
  }

  @Patch(':email')
  @RequireScope('write')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ summary: 'Change some fields of a subscription (JSON merge patch)' })
  @EmailParam()
  @PreconditionHeaders(REFUSES)
  @IdempotencyKeyHeader()
  @RequestIdHeader()
  @ApiConsumes('application/json', 'application/merge-patch+json')
  @ApiBody({ type: PatchSubscription })
  @ApiOkResponse({ type: SubscriptionView, headers: ETAG })
  @ApiProblems(400, 404, 'illegal-transition', 'idempotency-key-in-use', 412, 413, 415, 422, 503)
  async patch(
    @Param('email', EmailPipe) email: string,
    @Body(requestPipe) body: PatchSubscription,
    @Write() request: WriteRequest,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    return written(reply, await this.commands.execute(new PatchSubscriptionCommand(email, body, request)));
  }

  @Delete(':email')
  @RequireScope('delete')
  @ApiOperation({ summary: 'Delete a subscription' })
  @EmailParam()
  @PreconditionHeaders(REFUSES)
  @IdempotencyKeyHeader()
  @RequestIdHeader()
  @ApiNoContentResponse({
    description: 'It is deleted',
    headers: { ETag: { ...ETAG.ETag, description: 'The version of the deletion, quoted' } },
  })
  @ApiProblems(400, 404, 'idempotency-key-in-use', 412, 422, 503)
  async remove(
    @Param('email', EmailPipe) email: string,
    @Query(requestPipe) { reason }: DeleteOptions,
    @Write() request: WriteRequest,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    return written(reply, await this.commands.execute(new DeleteSubscriptionCommand(email, reason, request)));
  }
}

function written(reply: Reply, { outcome, version, body, replayed }: WrittenSubscription): string {
  reply.code(STATUS[outcome]).header('etag', etagOf(version));
  if (replayed) reply.header('idempotency-replayed', 'true');
  if (outcome === 'created') {
    const { email } = JSON.parse(body!) as { email: string };
    reply.header('location', `/subscriptions/${encodeURIComponent(email)}`);
  }
  return body ?? '';
}

/** The list's own path and query, a page further. */
function withCursor(url: string, cursor: string): string {
  const [path, query] = url.split('?', 2) as [string, string?];
  const parameters = new URLSearchParams(query);
  parameters.set('cursor', cursor);
  return `${path}?${parameters.toString()}`;
}
