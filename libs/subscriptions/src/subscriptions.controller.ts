import { Body, Controller, Delete, Get, Header, Param, Patch, Post, Put, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import {
  ApiAcceptedResponse,
  ApiBody,
  ApiConsumes,
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiResponse,
  ApiTags,
} from '@nestjs/swagger';
import {
  ApiProblems,
  ETAG,
  IDEMPOTENCY_REPLAYED,
  location,
  nextLink,
  PREFERENCE_APPLIED,
  requestPipe,
  RequireScope,
  STATUS_LINK,
} from '#http';
import {
  EmailParam,
  etagOf,
  names,
  preconditionFailed,
  PreconditionHeaders,
  RequestContext,
  WriteHeaders,
  type WriteContext,
} from './request-context.js';
import {
  CreateSubscriptionCommand,
  DeleteSubscriptionCommand,
  PatchSubscriptionCommand,
  PutSubscriptionCommand,
  type WrittenSubscription,
} from './subscription.commands.js';
import {
  AcceptedDeletion,
  AcceptedSubscription,
  CreateSubscription,
  DeleteOptions,
  ListSubscriptions,
  PatchSubscription,
  PutSubscription,
  SubscriptionPage,
  SubscriptionView,
} from './subscription.dto.js';
import { GetSubscriptionQuery, ListSubscriptionsQuery } from './subscription.queries.js';
import { EmailPipe } from './validators.js';

/** What of Fastify's reply the controller needs. */
interface Reply {
  code(status: number): Reply;
  header(name: string, value: string): Reply;
}

const JSON_TYPE = 'application/json; charset=utf-8';
const STATUS = { created: 201, updated: 200, deleted: 204 } as const;
const REFUSES = 'Otherwise 412.';

const LOCATION = location('/subscriptions/ada%40example.com');
const WRITTEN = { ...ETAG, ...PREFERENCE_APPLIED, ...IDEMPOTENCY_REPLAYED };
const email = '$response.body#/email';
/** What to do with one that was created. */
const LINKS = {
  getSubscription: { operationId: 'getSubscription', parameters: { email } },
  patchSubscription: { operationId: 'patchSubscription', parameters: { email } },
  deleteSubscription: { operationId: 'deleteSubscription', parameters: { email } },
  getSubscriptionReplication: { operationId: 'getSubscriptionReplication', parameters: { email } },
  getSubscriptionHistory: { operationId: 'getSubscriptionHistory', parameters: { email } },
};
const NOT_IN_TIME = {
  description: 'With `Prefer: wait`: it is committed, and was not seen in Database 2 in time',
  headers: { ...ETAG, ...STATUS_LINK, ...IDEMPOTENCY_REPLAYED },
};

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
  @ApiOperation({ operationId: 'createSubscription', summary: 'Create a subscription' })
  @WriteHeaders()
  @ApiCreatedResponse({ type: SubscriptionView, headers: { ...WRITTEN, ...LOCATION }, links: LINKS, description: 'It is created' })
  @ApiAcceptedResponse({ type: AcceptedSubscription, ...NOT_IN_TIME })
  @ApiProblems('conflict', 'already-exists', 'idempotency-key-in-use', 'idempotency-key-reused')
  async create(
    @Body(requestPipe) body: CreateSubscription,
    @RequestContext() request: WriteContext,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    return written(reply, await this.commands.execute(new CreateSubscriptionCommand(body, request)));
  }

  @Get()
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ operationId: 'listSubscriptions', summary: 'List subscriptions' })
  @ApiOkResponse({ type: SubscriptionPage, headers: nextLink('/subscriptions'), description: 'A page of them' })
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
  @ApiOperation({ operationId: 'getSubscription', summary: 'Read a subscription' })
  @EmailParam()
  @PreconditionHeaders('Otherwise 412, or 304 for If-None-Match.')
  @ApiOkResponse({ type: SubscriptionView, headers: ETAG, description: 'The subscription' })
  @ApiResponse({ status: 304, description: 'If-None-Match names its version: nothing has changed', headers: ETAG })
  @ApiProblems(404, 412)
  async read(
    @Param('email', EmailPipe) email: string,
    @RequestContext() { ifMatch, ifNoneMatch }: WriteContext,
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
  @ApiOperation({ operationId: 'putSubscription', summary: 'Create or replace a subscription' })
  @EmailParam()
  @PreconditionHeaders(REFUSES)
  @WriteHeaders()
  @ApiOkResponse({ type: SubscriptionView, headers: WRITTEN, description: 'It was there and is replaced' })
  @ApiCreatedResponse({ type: SubscriptionView, headers: { ...WRITTEN, ...LOCATION }, links: LINKS, description: 'It was not there' })
  @ApiAcceptedResponse({ type: AcceptedSubscription, ...NOT_IN_TIME })
  @ApiProblems('conflict', 'illegal-transition', 'idempotency-key-in-use', 412, 'idempotency-key-reused')
  async put(
    @Param('email', EmailPipe) email: string,
    @Body(requestPipe) body: PutSubscription,
    @RequestContext() request: WriteContext,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    return written(reply, await this.commands.execute(new PutSubscriptionCommand(email, body, request)));
  }

  @Patch(':email')
  @RequireScope('write')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ operationId: 'patchSubscription', summary: 'Change some fields of a subscription (JSON merge patch)' })
  @EmailParam()
  @PreconditionHeaders(REFUSES)
  @WriteHeaders()
  @ApiConsumes('application/json', 'application/merge-patch+json')
  @ApiBody({ type: PatchSubscription })
  @ApiOkResponse({ type: SubscriptionView, headers: WRITTEN, description: 'It is changed, or was so already' })
  @ApiAcceptedResponse({ type: AcceptedSubscription, ...NOT_IN_TIME })
  @ApiProblems(404, 'conflict', 'illegal-transition', 'idempotency-key-in-use', 412, 'idempotency-key-reused')
  async patch(
    @Param('email', EmailPipe) email: string,
    @Body(requestPipe) body: PatchSubscription,
    @RequestContext() request: WriteContext,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    return written(reply, await this.commands.execute(new PatchSubscriptionCommand(email, body, request)));
  }

  @Delete(':email')
  @RequireScope('delete')
  @ApiOperation({ operationId: 'deleteSubscription', summary: 'Delete a subscription' })
  @EmailParam()
  @PreconditionHeaders(REFUSES)
  @WriteHeaders()
  @ApiNoContentResponse({
    description: 'It is deleted',
    headers: { ...WRITTEN, ETag: { ...ETAG.ETag, description: 'The version of the deletion, quoted' } },
  })
  @ApiAcceptedResponse({ type: AcceptedDeletion, ...NOT_IN_TIME })
  @ApiProblems(404, 'conflict', 'idempotency-key-in-use', 412, 'idempotency-key-reused')
  async remove(
    @Param('email', EmailPipe) email: string,
    @Query(requestPipe) { reason }: DeleteOptions,
    @RequestContext() request: WriteContext,
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
