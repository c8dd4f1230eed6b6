import { readFileSync } from 'node:fs';
import { asyncApiDocument, CANARY_EMAIL, EVENT_SCHEMA, type Operation, OPERATIONS } from '#events';
import { describeApi } from '../../apps/server/src/describe-api.js';
import { postmanCollection } from './postman-collection.js';

/** What integrators read, by path: generated, and committed. */
export async function contractFiles(): Promise<Record<string, string>> {
  const openapi = await describeApi();
  return {
    'docs/openapi.json': print(openapi),
    'docs/postman-collection.json': print(await postmanCollection(openapi)),
    'docs/asyncapi.json': print(asyncApiDocument({ ...TOPIC, examples: goldenEvents() })),
    'docs/subscription-event.schema.json': print(EVENT_SCHEMA),
  };
}

const TOPIC = { topic: 'subscription-events', broker: '127.0.0.1:19092', canary: CANARY_EMAIL };

function goldenEvents(): Record<Operation, object> {
  const events = OPERATIONS.map((operation) => [
    operation,
    JSON.parse(readFileSync(`libs/contracts/fixtures/${operation}.json`, 'utf8')) as object,
  ]);
  return Object.fromEntries(events) as Record<Operation, object>;
}

function print(document: object): string {
  return `${JSON.stringify(document, null, 2)}\n`;
}
