import { Controller, Get, Header, Headers, Param, Query, Res, UsePipes } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiProblems, ETAG, PREFERENCE_APPLIED, requestPipe, RequireScope } from '#http';
import { EmailParam, EmailPipe, PreferHeader, SubscriptionView } from '#subscriptions';
import { preferredWait } from './prefer-header.js';
import { ReplicaReadQuery } from './replica-read.query.js';
import { ReadReplica, ReplicationView } from './replication-status.dto.js';
import { ReplicationStatus } from './replication-status.query.js';

@ApiTags('tracking')
@Controller(['subscriptions', 'subscription_status'])
@RequireScope('read')
export class ReplicationStatusController {
  constructor(private readonly replication: ReplicationStatus) {}

  @Get(':email/replication')
  @ApiOperation({ operationId: 'getSubscriptionReplication', summary: 'Tell where the last change of a subscription is' })
  @EmailParam()
  @ApiOkResponse({ type: ReplicationView, description: 'Where it is' })
  @ApiProblems(404)
  read(@Param('email', EmailPipe) email: string): Promise<ReplicationView> {
    return this.replication.of(email);
  }
}

/** What of Fastify's reply is needed here. */
interface Reply {
  readonly raw: NodeJS.EventEmitter;
  header(name: string, value: string): Reply;
}

@ApiTags('tracking')
@Controller('replica/subscriptions')
@RequireScope('read')
@UsePipes(requestPipe)
export class ReplicaReadsController {
  constructor(private readonly replica: ReplicaReadQuery) {}

  @Get(':email')
  @Header('content-type', 'application/json; charset=utf-8')
  @ApiOperation({
    operationId: 'getReplicatedSubscription',
    summary: 'Read a subscription in Database 2, on request not before it has a version',
  })
  @EmailParam()
  @PreferHeader('`wait=5`: how long to wait for min_version, s; at most 30')
  @ApiOkResponse({ type: SubscriptionView, headers: { ...ETAG, ...PREFERENCE_APPLIED }, description: 'As Database 2 has it' })
  @ApiProblems(404, 'not-replicated-yet')
  async read(
    @Param('email', EmailPipe) email: string,
    @Query() { min_version: minVersion }: ReadReplica,
    @Res({ passthrough: true }) reply: Reply,
    @Headers('prefer') prefer?: string,
  ): Promise<string> {
    const left = new AbortController();
    reply.raw.once('close', () => left.abort());
    const waitS = preferredWait(prefer);
    const { version, body } = await this.replica.read(email, Number(minVersion ?? 0), (waitS ?? 0) * 1_000, left.signal);
    if (waitS !== undefined) reply.header('preference-applied', `wait=${waitS}`);
    reply.header('etag', `"${version}"`);
    return body;
  }
}
