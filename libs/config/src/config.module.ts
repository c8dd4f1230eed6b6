import type { DynamicModule } from '@nestjs/common';
import { ConfigModule, getConfigToken, registerAs } from '@nestjs/config';
import type { Settings } from './settings.js';
import type { Timings } from './timings.js';

/** Injection token of the process's settings: `@Inject(SETTINGS) settings: Settings`. */
export const SETTINGS = getConfigToken('settings');
/** Injection token of the process's timings: `@Inject(TIMINGS) timings: Timings`. */
export const TIMINGS = getConfigToken('timings');

/** Provides the settings, which are already read and checked, and the timings to all modules. */
export function configModule(settings: Settings, timings: Timings): Promise<DynamicModule> {
  return ConfigModule.forRoot({
    isGlobal: true,
    ignoreEnvFile: true,
    ignoreEnvVars: true,
    load: [registerAs('settings', () => settings), registerAs('timings', () => timings)],
  });
}
