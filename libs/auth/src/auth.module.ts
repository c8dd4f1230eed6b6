import { type DynamicModule, Module } from '@nestjs/common';
import type { Settings } from '#config';
import { ApiKeysController } from './api-keys.controller.js';
import { AuthService } from './auth.service.js';

/** {@link AuthService}, and `/access/keys` with the api role. */
@Module({})
export class AuthModule {
  static forRoot({ roles }: Settings): DynamicModule {
    return {
      module: AuthModule,
      controllers: roles.includes('api') ? [ApiKeysController] : [],
      providers: [AuthService],
      exports: [AuthService],
    };
  }
}
