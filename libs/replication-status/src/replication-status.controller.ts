import { Controller, Get, Header, Headers, Param, Query, Res } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiProblems, ETAG, PREFERENCE_APPLIED, RequireScope, VERSION } from '#http';
import { disconnectSignal, EmailParam, etagOf, EmailPipe, preferredWait, PreferHeader, SubscriptionView } from '#subscriptions';
import { ReadReplicaQuery } from './replica-read.query.js';
import { ReadReplica, ReplicationView } from './replication-status.dto.js';
import { GetReplicationStatusQuery } from './replication-status.query.js';

@ApiTags('tracking')
@Controller(['subscriptions', 'subscription_status'])
@RequireScope('read')
export class ReplicationStatusController {
  constructor(private readonly queries: QueryBus) {}

  @Get(':email/replication')
  @ApiOperation({ operationId: 'getSubscriptionReplication', summary: 'Get the replication status of a subscription' })
  @EmailParam()
  @ApiOkResponse({ type: ReplicationView, description: 'The replication status of the last change' })
  @ApiProblems(404)
  read(@Param('email', EmailPipe) email: string): Promise<ReplicationView> {
    return this.queries.execute(new GetReplicationStatusQuery(email));
  }
}

/** The parts of Fastify's reply that are used here. */
interface Reply {
  readonly raw: NodeJS.EventEmitter;
  header(name: string, value: string): Reply;
}

@ApiTags('tracking')
@Controller('replica/subscriptions')
@RequireScope('read')
export class ReplicaReadsController {
  constructor(private readonly queries: QueryBus) {}

  @Get(':email')
  @Header('content-type', 'application/json; charset=utf-8')
  @ApiOperation({
    operationId: 'getReplicatedSubscription',
    summary: 'Read a subscription from Database 2, optionally at a minimum version',
  })
  @EmailParam()
  @PreferHeader('`wait=5`: maximum number of seconds to wait for `min_version`, up to 30')
  @ApiOkResponse({
    type: SubscriptionView,
    headers: { ...ETAG, ...VERSION, ...PREFERENCE_APPLIED },
    description: 'The subscription as stored in Database 2',
  })
  @ApiProblems(404, 'not-replicated-yet')
  async read(
    @Param('email', EmailPipe) email: string,
    @Query() { min_version: minVersion }: ReadReplica,
    @Res({ passthrough: true }) reply: Reply,
    @Headers('prefer') prefer?: string,
  ): Promise<string> {
    const waitS = preferredWait(prefer);
    const query = new ReadReplicaQuery(email, Number(minVersion ?? 0), (waitS ?? 0) * 1_000, disconnectSignal(reply));
    const { version, body } = await this.queries.execute(query);
    if (waitS !== undefined) reply.header('preference-applied', `wait=${waitS}`);
    reply.header('etag', etagOf(body)).header('subscription-version', String(version));
    return body;
  }
}
