import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { SECURITY_SCHEMES } from '#http';
import { giveExamples } from './body-examples.js';
import { completeOperations } from './every-operation.js';
import { shareResponses } from './share-responses.js';

const [API_KEY, OIDC_TOKEN] = SECURITY_SCHEMES;

const DESCRIPTION = `Subscription statuses in Database 1. Every change reaches Database 2 through Kafka. A 2xx means committed in Database 1.

- Errors are \`application/problem+json\` (RFC 9457). Decide by \`type\`; GET of it says what it means.
- HEAD is answered wherever GET is. A path that has other methods answers 405 with \`Allow\`.
- What is not described is refused: unknown fields of a body or of the query are 400.
- What never becomes a request of an operation is 400, 408 or 431.
- \`/subscription_status\` is another name of \`/subscriptions\`.`;

const TAGS: Readonly<Record<string, string>> = {
  subscriptions: 'Create, read, change, delete, list',
  history: 'Who changed a subscription, when, why, and how',
  tracking: 'Whether a change has reached Database 2, and waiting for it',
  bulk: 'Import and export',
  events: 'Every committed change once, also as Server-Sent Events',
  access: 'API keys',
  'dead letters': 'Records that could not be applied to Database 2',
  reconciliation: 'Comparisons of both databases, and repairs',
};

/** The OpenAPI document of the routes that `app` has. */
export function apiDocument(app: INestApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('subscription-sync')
    .setDescription(DESCRIPTION)
    .setVersion('0.1.0')
    .setLicense('MIT', 'https://opensource.org/license/mit')
    .addServer('/', 'Where this document comes from')
    .addBearerAuth(
      { type: 'http', scheme: 'bearer', bearerFormat: 'ssk_…', description: 'An API key, made with `npm run access`' },
      API_KEY,
    )
    .addBearerAuth(
      { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: "A token of the service's OpenID Connect issuer" },
      OIDC_TOKEN,
    );
  const document = SwaggerModule.createDocument(app, config.build());
  const used = new Set(
    Object.values(document.paths).flatMap((item) => Object.values(item).flatMap(({ tags }: { tags?: string[] }) => tags)),
  );
  document.tags = Object.entries(TAGS).flatMap(([name, description]) => (used.has(name) ? [{ name, description }] : []));
  completeOperations(document);
  giveExamples(document);
  shareResponses(document);
  return document;
}
