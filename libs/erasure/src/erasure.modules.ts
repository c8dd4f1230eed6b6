import { Module, type OnModuleInit } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { GracefulShutdown } from '#observability';
import { ErasureWorker } from './erasure-worker.js';
import { GetErasureHandler, RequestErasureHandler } from './erasure.commands.js';
import { ErasuresController } from './erasures.controller.js';

/** Takes requests for erasures. Belongs to the api role. */
@Module({ imports: [CqrsModule], controllers: [ErasuresController], providers: [RequestErasureHandler, GetErasureHandler] })
export class ErasuresModule {}

/** Carries out erasures. Belongs to the sync role, where DB2 is configured. */
@Module({ providers: [ErasureWorker] })
export class ErasureWorkerModule implements OnModuleInit {
  constructor(
    private readonly worker: ErasureWorker,
    private readonly shutdown: GracefulShutdown,
  ) {}

  onModuleInit(): void {
    this.shutdown.register({ name: 'erasing emails', stop: () => this.worker.stop() });
  }
}
