import { type DynamicModule, Module } from '@nestjs/common';
import type { TracingSettings } from '#config';
import { Tracing } from './tracing.js';

/** Starts the export of traces. OpenTelemetry's SDK is loaded here and nowhere else, so that a process without tracing does not pay for it. */
export async function startTracing(settings: TracingSettings): Promise<Tracing> {
  const { OpenTelemetry } = await import('./open-telemetry.js');
  return OpenTelemetry.start(settings);
}

/** Provides {@link Tracing} to all modules. */
@Module({})
export class TracingModule {
  static forRoot(tracing: Tracing): DynamicModule {
    return { module: TracingModule, global: true, providers: [{ provide: Tracing, useValue: tracing }], exports: [Tracing] };
  }
}
