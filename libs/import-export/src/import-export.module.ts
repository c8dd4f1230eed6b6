import { Module, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { CqrsModule } from '@nestjs/cqrs';
import { GracefulShutdown } from '#observability';
import { SubscriptionsModule } from '#subscriptions';
import { acceptFiles } from './accept-files.js';
import { ExportSubscriptionsHandler } from './export.js';
import { ImportExportController } from './import-export.controller.js';
import { FollowImportHandler, GetImportHandler, ImportJobs } from './import-jobs.js';
import { ImportSubscriptionsHandler } from './import.js';

/** Import and export of subscriptions. Belongs to the api role. */
@Module({
  imports: [CqrsModule, SubscriptionsModule],
  controllers: [ImportExportController],
  providers: [ExportSubscriptionsHandler, FollowImportHandler, GetImportHandler, ImportJobs, ImportSubscriptionsHandler],
})
export class ImportExportModule implements OnModuleInit {
  constructor(
    private readonly http: HttpAdapterHost,
    private readonly imports: ImportSubscriptionsHandler,
    private readonly shutdown: GracefulShutdown,
  ) {}

  onModuleInit(): void {
    acceptFiles(this.http.httpAdapter.getInstance());
    this.shutdown.register({ name: 'ending imports', stop: () => this.imports.stop() });
  }
}
