import { Module, type DynamicModule } from '@nestjs/common';
import type { Settings } from '#config';
import { Access } from './access.js';
import { ApiKeysController } from './api-keys.controller.js';

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
