import { Inject, NotFoundException } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Initiator } from '#audit';
import { SETTINGS, type Settings } from '#config';
import { limitOf, pageById, type Scope } from '#http';
import type { KeyPage, ListKeys } from './api-key.dto.js';
import { ApiKeyCache, ApiKeys, type CreatedKey } from './api-keys.js';

/** Creates a key. `expiresInS`: lifetime in seconds; undefined for a key that never expires. */
export class CreateApiKeyCommand extends Command<CreatedKey> {
  constructor(
    readonly name: string,
    readonly scopes: readonly Scope[],
    readonly expiresInS: number | undefined,
    readonly by: Initiator,
  ) {
    super();
  }
}

@CommandHandler(CreateApiKeyCommand)
export class CreateApiKeyHandler implements ICommandHandler<CreateApiKeyCommand> {
  constructor(
    private readonly keys: ApiKeys,
    @Inject(SETTINGS) private readonly settings: Settings,
  ) {}

  execute({ name, scopes, expiresInS, by }: CreateApiKeyCommand): Promise<CreatedKey> {
    return this.keys.create(name, scopes, expiresInS, by, this.settings.access.mode === 'open');
  }
}

/** Replaces a key by a new one with the same rights; the old one stays valid for `overlapS` seconds. Fails with 404 for a key that is not usable. */
export class RotateApiKeyCommand extends Command<CreatedKey> {
  constructor(
    readonly id: string,
    readonly overlapS: number,
    readonly by: Initiator,
  ) {
    super();
  }
}

@CommandHandler(RotateApiKeyCommand)
export class RotateApiKeyHandler implements ICommandHandler<RotateApiKeyCommand> {
  constructor(
    private readonly keys: ApiKeys,
    private readonly cache: ApiKeyCache,
    @Inject(SETTINGS) private readonly settings: Settings,
  ) {}

  async execute({ id, overlapS, by }: RotateApiKeyCommand): Promise<CreatedKey> {
    const next = await this.keys.rotate(id, overlapS, by, this.settings.access.mode === 'open');
    if (!next) {
      throw new NotFoundException('No key with this id is in use: it does not exist, is revoked, has expired, or was rotated before');
    }
    this.cache.forget(id);
    return next;
  }
}

/** Revokes a key. Fails with 404 when there is none with this id. */
export class RevokeApiKeyCommand extends Command<void> {
  constructor(
    readonly id: string,
    readonly by: Initiator,
  ) {
    super();
  }
}

@CommandHandler(RevokeApiKeyCommand)
export class RevokeApiKeyHandler implements ICommandHandler<RevokeApiKeyCommand> {
  constructor(
    private readonly keys: ApiKeys,
    private readonly cache: ApiKeyCache,
  ) {}

  async execute({ id, by }: RevokeApiKeyCommand): Promise<void> {
    if (!(await this.keys.revoke(id, by))) throw new NotFoundException('There is no key with this id');
    this.cache.forget(id);
  }
}

/** Lists keys without their secrets, newest first. */
export class ListApiKeysQuery extends Query<KeyPage> {
  constructor(readonly options: ListKeys) {
    super();
  }
}

@QueryHandler(ListApiKeysQuery)
export class ListApiKeysHandler implements IQueryHandler<ListApiKeysQuery> {
  constructor(private readonly keys: ApiKeys) {}

  async execute({ options }: ListApiKeysQuery): Promise<KeyPage> {
    const size = limitOf(options);
    return pageById(await this.keys.list(size + 1, options.cursor), size);
  }
}
