import { Body, Controller, Delete, Get, HttpCode, Param, type PipeTransform, Post, Query, Req } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { initiatorOf } from '#audit';
import { ApiProblems, RequireScope, wrongFields } from '#http';
import { CreateApiKeyCommand, ListApiKeysQuery, RevokeApiKeyCommand, RotateApiKeyCommand } from './api-key.commands.js';
import { CreateKey, KEY_ID, KeyPage, ListKeys, NewKeyView, RotateKey } from './api-key.dto.js';
import type { CreatedKey } from './api-keys.js';

const DAY_S = 86_400;

class KeyIdPipe implements PipeTransform<string, string> {
  transform(value: string): string {
    if (KEY_ID.test(value)) return value;
    throw wrongFields([{ field: 'id', detail: 'must be the 16 hexadecimal digits after ssk_' }], 'The path does not name a key');
  }
}

const IdParam = (): MethodDecorator =>
  ApiParam({ name: 'id', example: '5f0c6a0e6f1d4b0e', schema: { type: 'string', pattern: KEY_ID.source } });
const id = '$response.body#/id';
const LINKS = {
  rotateKey: { operationId: 'rotateKey', parameters: { id } },
  revokeKey: { operationId: 'revokeKey', parameters: { id } },
};

/** API keys, for administrators. Served with the api role. */
@ApiTags('access')
@Controller('access/keys')
@RequireScope('admin')
export class ApiKeysController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Post()
  @ApiOperation({ operationId: 'createKey', summary: 'Create a key. It is shown once' })
  @ApiCreatedResponse({ type: NewKeyView, description: 'The key, shown once', links: LINKS })
  create(@Body() { name, scopes, expires_in }: CreateKey, @Req() request: object): Promise<CreatedKey> {
    return this.commands.execute(new CreateApiKeyCommand(name, scopes, expires_in, initiatorOf(request)));
  }

  @Get()
  @ApiOperation({ operationId: 'listKeys', summary: 'List keys, without their secrets' })
  @ApiOkResponse({ type: KeyPage, description: 'A page of keys, newest first' })
  list(@Query() options: ListKeys): Promise<KeyPage> {
    return this.queries.execute(new ListApiKeysQuery(options));
  }

  @Post(':id/rotate')
  @IdParam()
  @ApiOperation({ operationId: 'rotateKey', summary: 'Create a key that replaces another, which stays valid for a while' })
  @ApiCreatedResponse({ type: NewKeyView, description: 'The new key, shown once', links: LINKS })
  @ApiProblems(404)
  rotate(@Param('id', KeyIdPipe) id: string, @Body() { overlap = DAY_S }: RotateKey, @Req() request: object): Promise<CreatedKey> {
    return this.commands.execute(new RotateApiKeyCommand(id, overlap, initiatorOf(request)));
  }

  @Delete(':id')
  @HttpCode(204)
  @IdParam()
  @ApiOperation({ operationId: 'revokeKey', summary: 'Revoke a key: it is refused everywhere within 5 s' })
  @ApiNoContentResponse({ description: 'The key is revoked' })
  @ApiProblems(404)
  revoke(@Param('id', KeyIdPipe) id: string, @Req() request: object): Promise<void> {
    return this.commands.execute(new RevokeApiKeyCommand(id, initiatorOf(request)));
  }
}
