import { Module, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { GracefulShutdown } from '#observability';
import { acceptFiles } from './accept-files.js';
import { ExportPages } from './export.js';
import { ImportExportController } from './import-export.controller.js';
import { FollowImport, ImportJobs } from './import-jobs.js';
import { RunImport } from './import.js';

/** Import and export of subscriptions. Belongs to the api role. */
@Module({ controllers: [ImportExportController], providers: [ExportPages, FollowImport, ImportJobs, RunImport] })
export class ImportExportModule implements OnModuleInit {
  constructor(
    private readonly http: HttpAdapterHost,
    private readonly runImport: RunImport,
    private readonly shutdown: GracefulShutdown,
  ) {}

  onModuleInit(): void {
    acceptFiles(this.http.httpAdapter.getInstance());
    this.shutdown.register({ name: 'ending imports', stop: () => this.runImport.stop() });
  }
}
