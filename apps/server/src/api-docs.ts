import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { SECURITY_SCHEMES } from '#operations';

const [API_KEY, OIDC_TOKEN] = SECURITY_SCHEMES;

/** Everybody may read what the API is. */
export const DOCS_PATHS = ['/docs', '/docs-json', '/docs-yaml'] as const;

/** Swagger UI at `/docs`, the OpenAPI document at `/docs-json`. */
export function serveApiDocs(app: NestFastifyApplication): void {
  const config = new DocumentBuilder()
    .setTitle('subscription-sync')
    .setDescription('Subscription statuses in Database 1. Every change reaches Database 2 through Kafka.')
    .setVersion('0.1.0')
    .addBearerAuth(
      { type: 'http', scheme: 'bearer', bearerFormat: 'ssk_…', description: 'An API key, made with `npm run access`' },
      API_KEY,
    )
    .addBearerAuth(
      { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: "A token of the service's OpenID Connect issuer" },
      OIDC_TOKEN,
    )
    .build();
  SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, config), {
    jsonDocumentUrl: 'docs-json',
    // A key that was typed in survives a reload of the page.
    swaggerOptions: { persistAuthorization: true },
  });
}
