import { Body, Controller, Get, HttpCode, Param, Post, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiAcceptedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { initiatorOf } from '#audit';
import { ApiProblems, IdPipe, location, NUMBER_OF_QUERY, RequireScope } from '#http';
import { GetErasureQuery, RequestErasureCommand } from './erasure.commands.js';
import { ErasureView, RequestErasure } from './erasure.dto.js';

const LINKS = { getErasure: { operationId: 'getErasure', parameters: { id: '$response.body#/id' } } };

/** The part of Fastify's reply that is used here. */
interface Reply {
  header(name: string, value: string): Reply;
}

/** Erasure of everything that is kept about an email. Served with the api role. */
@ApiTags('erasures')
@Controller('erasures')
@RequireScope('erase')
export class ErasuresController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Post()
  @HttpCode(202)
  @ApiOperation({
    operationId: 'requestErasure',
    summary: 'Delete a subscription and erase everything that the service keeps about its email',
    description:
      'The subscription is deleted at once, if there is one. A sync process erases the rest when the deletion has reached Database 2, and the email itself when Kafka has no record of it any more. The person may subscribe again at any time',
  })
  @ApiAcceptedResponse({ type: ErasureView, description: 'The erasure', headers: location('/erasures/7'), links: LINKS })
  @ApiProblems(404)
  async request(@Body() { email }: RequestErasure, @Req() request: object, @Res({ passthrough: true }) reply: Reply): Promise<ErasureView> {
    const erasure = await this.commands.execute(new RequestErasureCommand(email, initiatorOf(request)));
    reply.header('location', `/erasures/${erasure.id}`);
    return erasure;
  }

  @Get(':id')
  @ApiParam({ name: 'id', example: 7, schema: NUMBER_OF_QUERY })
  @ApiOperation({ operationId: 'getErasure', summary: 'Read how far an erasure has come, and what Kafka still holds' })
  @ApiOkResponse({ type: ErasureView, description: 'The erasure' })
  @ApiProblems(404)
  read(@Param('id', new IdPipe('erasure')) id: number): Promise<ErasureView> {
    return this.queries.execute(new GetErasureQuery(id));
  }
}
