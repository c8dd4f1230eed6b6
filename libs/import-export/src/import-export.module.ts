import type { IncomingMessage } from 'node:http';
import { Module, type OnModuleInit, UnsupportedMediaTypeException } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { CqrsModule } from '@nestjs/cqrs';
import { GracefulShutdown } from '#observability';
import { SubscriptionsModule } from '#subscriptions';
import { ExportSubscriptionsHandler } from './export.js';
import { IMPORT_ROUTES, ImportExportController } from './import-export.controller.js';
import { FollowImportHandler, GetImportHandler, ImportJobs } from './import-jobs.js';
import { FORMATS, ImportSubscriptionsHandler } from './import.js';

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

/** The part of Fastify that is used here. */
interface Fastify {
  addContentTypeParser(
    types: string[],
    parser: (
      request: { readonly routeOptions: { readonly url?: string } },
      payload: IncomingMessage,
      done: (error: Error | null, body?: unknown) => void,
    ) => void,
  ): void;
}

/** Passes files to the import's handler as streams, without a limit or a buffer. Every other route accepts JSON alone. */
function acceptFiles(fastify: Fastify): void {
  const urls = new Set(IMPORT_ROUTES.map((route) => `/${route}`));
  fastify.addContentTypeParser(Object.keys(FORMATS), ({ routeOptions }, payload, done) => {
    if (urls.has(routeOptions.url ?? '')) done(null, payload);
    else done(Object.assign(new UnsupportedMediaTypeException('Unsupported Media Type'), { statusCode: 415 }));
  });
}
