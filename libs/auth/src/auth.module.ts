import { type DynamicModule, Module } from '@nestjs/common';
import type { Settings } from '#config';
import { ApiKeysController } from './api-keys.controller.js';
import { Access } from './auth.service.js';

/** {@link Access}, and `/access/keys` with the api role. */
@Module({})
export class AccessModule {
  static forRoot({ roles }: Settings): DynamicModule {
    return {
      module: AccessModule,
      controllers: roles.includes('api') ? [ApiKeysController] : [],
      providers: [Access],
      exports: [Access],
    };
  }
}
