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
import { ApiProblems, ETAG, IDEMPOTENCY_REPLAYED, location, nextLink, PREFERENCE_APPLIED, RequireScope, STATUS_LINK, VERSION } from '#http';
import {
  EmailParam,
  etagOf,
  matchesTag,
  preconditionFailed,
  PreconditionHeaders,
  RequestContext,
  type SubscriptionRequestContext,
  WriteHeaders,
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
  WrittenView,
} from './subscription.dto.js';
import { GetSubscriptionQuery, ListSubscriptionsQuery } from './subscription.queries.js';
import { EmailPipe } from './validators.js';

/** The parts of Fastify's request and reply that are used here. */
interface Request {
  /** Path and query. */
  readonly url: string;
}
interface Reply {
  code(status: number): Reply;
  header(name: string, value: string): Reply;
}

const JSON_TYPE = 'application/json; charset=utf-8';
const STATUS = { created: 201, updated: 200, deleted: 204 } as const;
const OTHERWISE = 'Otherwise the response is 412.';
const ALIAS = 'subscription_status';

const LOCATION = location('/subscriptions/ada%40example.com');
const COMMITTED = { ...VERSION, ...PREFERENCE_APPLIED, ...IDEMPOTENCY_REPLAYED };
const WRITTEN = { ...ETAG, ...COMMITTED };
const email = '$response.body#/email';
/** Operations on a created subscription. */
const LINKS = {
  getSubscription: { operationId: 'getSubscription', parameters: { email } },
  patchSubscription: { operationId: 'patchSubscription', parameters: { email } },
  deleteSubscription: { operationId: 'deleteSubscription', parameters: { email } },
  getSubscriptionReplication: { operationId: 'getSubscriptionReplication', parameters: { email } },
  getSubscriptionHistory: { operationId: 'getSubscriptionHistory', parameters: { email } },
};
const NOT_IN_TIME = {
  description: 'With `Prefer: wait`: the change is committed, but Database 2 did not have it in time',
  headers: { ...VERSION, ...STATUS_LINK, ...IDEMPOTENCY_REPLAYED },
};

/** CRUD of subscriptions in DB1. A 2xx response means committed. Bodies are the JSON text that the database printed, sent unchanged. */
@ApiTags('subscriptions')
@Controller(['subscriptions', ALIAS])
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
  @ApiCreatedResponse({
    type: WrittenView,
    headers: { ...WRITTEN, ...LOCATION },
    links: LINKS,
    description: 'The subscription was created',
  })
  @ApiAcceptedResponse({ type: AcceptedSubscription, ...NOT_IN_TIME })
  @ApiProblems('conflict', 'already-exists', 'idempotency-key-in-use', 'idempotency-key-reused')
  async create(
    @Body() body: CreateSubscription,
    @RequestContext() context: SubscriptionRequestContext,
    @Req() request: Request,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    return respond(reply, request, context, await this.commands.execute(new CreateSubscriptionCommand(body, context)));
  }

  @Get()
  @RequireScope('export')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ operationId: 'listSubscriptions', summary: 'List subscriptions' })
  @ApiOkResponse({ type: SubscriptionPage, headers: nextLink('/subscriptions'), description: 'A page of subscriptions' })
  async list(@Query() options: ListSubscriptions, @Req() request: Request, @Res({ passthrough: true }) reply: Reply): Promise<string> {
    const { body, next } = await this.queries.execute(new ListSubscriptionsQuery(options));
    if (next !== null) reply.header('link', `<${withCursor(request.url, next)}>; rel="next"`);
    return body;
  }

  @Get(':email')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ operationId: 'getSubscription', summary: 'Read a subscription' })
  @EmailParam()
  @PreconditionHeaders('Otherwise the response is 412, or 304 for If-None-Match.')
  @ApiOkResponse({ type: SubscriptionView, headers: ETAG, description: 'The subscription' })
  @ApiResponse({ status: 304, description: 'Not modified: the ETag is one of those in If-None-Match', headers: ETAG })
  @ApiProblems(404, 412)
  async read(
    @Param('email', EmailPipe) email: string,
    @RequestContext() { ifMatch, ifNoneMatch }: SubscriptionRequestContext,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    const body = await this.queries.execute(new GetSubscriptionQuery(email));
    if (ifMatch !== undefined && !matchesTag(ifMatch, body)) throw preconditionFailed('If-Match', body);
    reply.header('etag', etagOf(body));
    if (!matchesTag(ifNoneMatch, body)) return body;
    reply.code(304);
    return '';
  }

  @Put(':email')
  @RequireScope('write')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ operationId: 'putSubscription', summary: 'Create or replace a subscription' })
  @EmailParam()
  @PreconditionHeaders(OTHERWISE)
  @WriteHeaders()
  @ApiOkResponse({ type: WrittenView, headers: WRITTEN, description: 'The existing subscription was replaced' })
  @ApiCreatedResponse({
    type: WrittenView,
    headers: { ...WRITTEN, ...LOCATION },
    links: LINKS,
    description: 'The subscription did not exist and was created',
  })
  @ApiAcceptedResponse({ type: AcceptedSubscription, ...NOT_IN_TIME })
  @ApiProblems('conflict', 'illegal-transition', 'idempotency-key-in-use', 412, 'idempotency-key-reused')
  async put(
    @Param('email', EmailPipe) email: string,
    @Body() body: PutSubscription,
    @RequestContext() context: SubscriptionRequestContext,
    @Req() request: Request,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    return respond(reply, request, context, await this.commands.execute(new PutSubscriptionCommand(email, body, context)));
  }

  @Patch(':email')
  @RequireScope('write')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ operationId: 'patchSubscription', summary: 'Change some fields of a subscription (JSON merge patch)' })
  @EmailParam()
  @PreconditionHeaders(OTHERWISE)
  @WriteHeaders()
  @ApiConsumes('application/json', 'application/merge-patch+json')
  @ApiBody({ type: PatchSubscription })
  @ApiOkResponse({ type: WrittenView, headers: WRITTEN, description: 'The subscription was changed, or already had these values' })
  @ApiAcceptedResponse({ type: AcceptedSubscription, ...NOT_IN_TIME })
  @ApiProblems(404, 'conflict', 'illegal-transition', 'idempotency-key-in-use', 412, 'idempotency-key-reused')
  async patch(
    @Param('email', EmailPipe) email: string,
    @Body() body: PatchSubscription,
    @RequestContext() context: SubscriptionRequestContext,
    @Req() request: Request,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    return respond(reply, request, context, await this.commands.execute(new PatchSubscriptionCommand(email, body, context)));
  }

  @Delete(':email')
  @RequireScope('delete')
  @ApiOperation({ operationId: 'deleteSubscription', summary: 'Delete a subscription' })
  @EmailParam()
  @PreconditionHeaders(OTHERWISE)
  @WriteHeaders()
  @ApiNoContentResponse({
    description: 'The subscription was deleted',
    headers: COMMITTED,
  })
  @ApiAcceptedResponse({ type: AcceptedDeletion, ...NOT_IN_TIME })
  @ApiProblems(404, 'conflict', 'idempotency-key-in-use', 412, 'idempotency-key-reused')
  async remove(
    @Param('email', EmailPipe) email: string,
    @Query() { reason }: DeleteOptions,
    @RequestContext() context: SubscriptionRequestContext,
    @Req() request: Request,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    return respond(reply, request, context, await this.commands.execute(new DeleteSubscriptionCommand(email, reason, context)));
  }
}

/** Sets the status and the headers of a write's response and returns its body. */
function respond(reply: Reply, request: Request, { replicaWait }: SubscriptionRequestContext, written: WrittenSubscription): string {
  const { outcome, email, version, body, replayed, replicated } = written;
  reply.code(STATUS[outcome]).header('subscription-version', String(version));
  if (body !== null) reply.header('etag', etagOf(body));
  if (replayed) reply.header('idempotency-replayed', 'true');
  if (outcome === 'created') reply.header('location', `/subscriptions/${encodeURIComponent(email)}`);
  if (replicated === false) return accepted(reply, request, written);
  if (replicated) reply.header('preference-applied', `wait=${replicaWait!.seconds}`);
  return body === null ? '' : withMember(body, 'version', version);
}

/** The 202 response: the resource, and the link to its replication status (RFC 8631) under the name by which the resource was requested. */
function accepted(reply: Reply, { url }: Request, { email, body, version }: WrittenSubscription): string {
  const root = url.startsWith(`/${ALIAS}`) ? ALIAS : 'subscriptions';
  const path = `/${root}/${encodeURIComponent(email)}/replication`;
  reply.code(202).header('link', `<${path}>; rel="status"`).header('content-type', JSON_TYPE);
  const resource = body === null ? JSON.stringify({ email }) : withMember(body, 'version', version);
  return withMember(resource, 'replication', path);
}

/** Adds a member to the JSON text of an object, whose numbers keep their digits. */
function withMember(object: string, name: string, value: unknown): string {
  return `${object.slice(0, -1)},${JSON.stringify(name)}:${JSON.stringify(value)}}`;
}

/** Matches the beginning of a target in the absolute form (RFC 9112, 3.2.2): the client may write any host there. */
const ORIGIN = /^https?:\/\/[^/?]*/i;

/** Returns the path and query of the next page of a list. */
function withCursor(url: string, cursor: string): string {
  const [path, query] = url.replace(ORIGIN, '').split('?', 2) as [string, string?];
  const parameters = new URLSearchParams(query);
  parameters.set('cursor', cursor);
  return `${path}?${parameters.toString()}`;
}
