import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { SwaggerModule } from '@nestjs/swagger';
import { apiDocument } from './contract/api-document.js';

/** Everybody may read what the API is. */
export const DOCS_PATHS = ['/docs', '/docs-json', '/docs-yaml'] as const;

/** Swagger UI at `/docs`, the OpenAPI document at `/docs-json`: of the routes that this process has. */
export function serveApiDocs(app: NestFastifyApplication): void {
  SwaggerModule.setup('docs', app, () => apiDocument(app), {
    jsonDocumentUrl: 'docs-json',
    // A key that was typed in survives a reload of the page.
    swaggerOptions: { persistAuthorization: true },
  });
}
