import {
  Body,
  Controller,
  Delete,
  Get,
  Header,
  HttpCode,
  NotFoundException,
  Param,
  type PipeTransform,
  Post,
  Req,
  UsePipes,
} from '@nestjs/common';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { actorOf, ApiProblems, requestPipe, RequireScope, wrongFields } from '#http';
import { CreateKey, KeyPage, NewKeyView, RotateKey } from './api-key.dto.js';
import type { ApiKey, ApiKeys, CreatedKey } from './api-keys.js';
import { AuthService } from './auth.service.js';

const DAY_S = 86_400;

class KeyIdPipe implements PipeTransform<string, string> {
  transform(value: string): string {
    if (/^[0-9a-f]{16}$/.test(value)) return value;
    throw wrongFields([{ field: 'id', detail: 'must be the 16 hexadecimal digits after ssk_' }], 'The path names no key');
  }
}

const IdParam = (): MethodDecorator =>
  ApiParam({ name: 'id', example: '5f0c6a0e6f1d4b0e', schema: { type: 'string', pattern: '^[0-9a-f]{16}$' } });
const id = '$response.body#/id';
const LINKS = {
  rotateKey: { operationId: 'rotateKey', parameters: { id } },
  revokeKey: { operationId: 'revokeKey', parameters: { id } },
};

/** API keys, for administrators. Served with the api role. Answers with a key in them are not to be stored on the way. */
@ApiTags('access')
@Controller('access/keys')
@RequireScope('admin')
@UsePipes(requestPipe)
export class ApiKeysController {
  private readonly keys: ApiKeys;

  constructor(private readonly access: AuthService) {
    // The module has this controller with the api role only, which has Database 1.
    this.keys = access.keys!;
  }

  @Post()
  @Header('cache-control', 'no-store')
  @ApiOperation({ operationId: 'createKey', summary: 'Make a key. It is shown once' })
  @ApiCreatedResponse({ type: NewKeyView, description: 'The key, shown once', links: LINKS })
  create(@Body() { name, scopes, expires_in }: CreateKey, @Req() request: object): Promise<CreatedKey> {
    return this.keys.create(name, scopes, expires_in, actorOf(request));
  }

  @Get()
  @ApiOperation({ operationId: 'listKeys', summary: 'List keys, without their secrets' })
  @ApiOkResponse({ type: KeyPage, description: 'All of them' })
  async list(): Promise<{ items: ApiKey[] }> {
    return { items: await this.keys.list() };
  }

  @Post(':id/rotate')
  @Header('cache-control', 'no-store')
  @IdParam()
  @ApiOperation({ operationId: 'rotateKey', summary: 'Make a key that takes the place of another, which works on for a while' })
  @ApiCreatedResponse({ type: NewKeyView, description: 'The new key, shown once', links: LINKS })
  @ApiProblems(404)
  async rotate(@Param('id', KeyIdPipe) id: string, @Body() { overlap }: RotateKey, @Req() request: object): Promise<CreatedKey> {
    const next = await this.keys.rotate(id, overlap ?? DAY_S, actorOf(request));
    if (!next)
      throw new NotFoundException('No key with this id is in use: it was never there, is revoked, has expired, or was rotated before');
    this.access.known!.forget(id);
    return next;
  }

  @Delete(':id')
  @HttpCode(204)
  @IdParam()
  @ApiOperation({ operationId: 'revokeKey', summary: 'Revoke a key: it is refused everywhere within 5 s' })
  @ApiNoContentResponse({ description: 'It is revoked' })
  @ApiProblems(404)
  async revoke(@Param('id', KeyIdPipe) id: string): Promise<void> {
    if (!(await this.keys.revoke(id))) throw new NotFoundException('There is no key with this id');
    this.access.known!.forget(id);
  }
}
