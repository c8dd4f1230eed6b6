import {
  Body,
  Controller,
  Delete,
  Get,
  Header,
  Headers,
  HttpCode,
  Param,
  Patch,
  Post,
  Put,
  Query,
  Req,
  Res,
  UsePipes,
} from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { ApiProblems, RequireScope, actorOf, requestPipe } from '#operations';
import { CreateSubscriptionCommand } from './create-subscription.command.js';
import { DeleteSubscriptionCommand } from './delete-subscription.command.js';
import { EmailPipe } from './email.js';
import { GetSubscriptionQuery } from './get-subscription.query.js';
import { ListSubscriptionsQuery } from './list-subscriptions.query.js';
import { PatchSubscriptionCommand } from './patch-subscription.command.js';
import { PutSubscriptionCommand } from './put-subscription.command.js';
import {
  CreateSubscription,
  ListSubscriptions,
  PatchSubscription,
  PutSubscription,
  SubscriptionPage,
  SubscriptionView,
} from './subscription.dto.js';
import { writeContext, type StoredSubscription } from './write-context.js';

/** What of Fastify's reply the controller needs. */
interface Reply {
  code(status: number): Reply;
  header(name: string, value: string): Reply;
}

const JSON_TYPE = 'application/json; charset=utf-8';
const ETAG = { ETag: { description: 'The version, quoted', schema: { type: 'string' as const }, example: '"42"' } };

const EmailParam = (): MethodDecorator =>
  ApiParam({ name: 'email', example: 'ada@example.com', description: 'In any letters: it is trimmed and lower-cased' });

/** CRUD of subscriptions in DB1. A 2xx answer means committed. Bodies are the database's own JSON text, passed on as it is. */
@ApiTags('subscriptions')
@Controller(['subscriptions', 'subscription_status'])
@UsePipes(requestPipe)
export class SubscriptionsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Post()
  @RequireScope('write')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ summary: 'Create a subscription' })
  @ApiCreatedResponse({ type: SubscriptionView, headers: { ...ETAG, Location: { description: 'Its path', schema: { type: 'string' } } } })
  @ApiProblems(400, 409, 413, 415, 503)
  async create(
    @Body() body: CreateSubscription,
    @Req() request: object,
    @Res({ passthrough: true }) reply: Reply,
    @Headers('traceparent') traceparent?: string,
  ): Promise<string> {
    const stored = await this.commands.execute(new CreateSubscriptionCommand(body, writeContext(actorOf(request), traceparent)));
    const { email } = JSON.parse(stored.body) as { email: string };
    reply.header('location', `/subscriptions/${encodeURIComponent(email)}`);
    return answer(reply, stored);
  }

  @Get()
  @RequireScope('read')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ summary: 'List subscriptions by email' })
  @ApiOkResponse({ type: SubscriptionPage })
  @ApiProblems(400, 503)
  list(@Query() options: ListSubscriptions): Promise<string> {
    return this.queries.execute(new ListSubscriptionsQuery(options));
  }

  @Get(':email')
  @RequireScope('read')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ summary: 'Read a subscription' })
  @EmailParam()
  @ApiOkResponse({ type: SubscriptionView, headers: ETAG })
  @ApiProblems(400, 404, 503)
  async read(@Param('email', EmailPipe) email: string, @Res({ passthrough: true }) reply: Reply): Promise<string> {
    return answer(reply, await this.queries.execute(new GetSubscriptionQuery(email)));
  }

  @Put(':email')
  @RequireScope('write')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ summary: 'Create or replace a subscription' })
  @EmailParam()
  @ApiOkResponse({ type: SubscriptionView, headers: ETAG, description: 'It was there and is replaced' })
  @ApiCreatedResponse({ type: SubscriptionView, headers: ETAG, description: 'It was not there' })
  @ApiProblems(400, 413, 415, 503)
  async put(
    @Param('email', EmailPipe) email: string,
    @Body() body: PutSubscription,
    @Req() request: object,
    @Res({ passthrough: true }) reply: Reply,
    @Headers('traceparent') traceparent?: string,
  ): Promise<string> {
    const stored = await this.commands.execute(new PutSubscriptionCommand(email, body, writeContext(actorOf(request), traceparent)));
    reply.code(stored.created ? 201 : 200);
    return answer(reply, stored);
  }

  @Patch(':email')
  @RequireScope('write')
  @Header('content-type', JSON_TYPE)
  @ApiOperation({ summary: 'Change some fields of a subscription' })
  @EmailParam()
  @ApiOkResponse({ type: SubscriptionView, headers: ETAG })
  @ApiProblems(400, 404, 413, 415, 503)
  async patch(
    @Param('email', EmailPipe) email: string,
    @Body() body: PatchSubscription,
    @Req() request: object,
    @Res({ passthrough: true }) reply: Reply,
    @Headers('traceparent') traceparent?: string,
  ): Promise<string> {
    return answer(
      reply,
      await this.commands.execute(new PatchSubscriptionCommand(email, body, writeContext(actorOf(request), traceparent))),
    );
  }

  @Delete(':email')
  @RequireScope('delete')
  @HttpCode(204)
  @ApiOperation({ summary: 'Delete a subscription' })
  @EmailParam()
  @ApiNoContentResponse({ description: 'It is deleted' })
  @ApiProblems(400, 404, 503)
  async remove(
    @Param('email', EmailPipe) email: string,
    @Req() request: object,
    @Headers('traceparent') traceparent?: string,
  ): Promise<void> {
    await this.commands.execute(new DeleteSubscriptionCommand(email, writeContext(actorOf(request), traceparent)));
  }
}

function answer(reply: Reply, { version, body }: StoredSubscription): string {
  reply.header('etag', `"${version}"`);
  return body;
}
