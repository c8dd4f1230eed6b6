import { readFileSync } from 'node:fs';
import { asyncApiDocument, CANARY_EMAIL, EVENT_SCHEMA, type Operation, OPERATIONS } from '#events';
import { PROBLEM_TYPES } from '#http';
import { describeApi } from '../../apps/server/src/describe-api.js';
import { postmanCollection } from './postman-collection.js';

/** Returns the documents for integrators that are generated from the code and committed, by path. */
export async function contractFiles(): Promise<Record<string, string>> {
  const openapi = await describeApi();
  return {
    'docs/openapi.json': print(openapi),
    'docs/postman-collection.json': print(await postmanCollection(openapi)),
    'docs/asyncapi.json': print(asyncApiDocument({ ...TOPIC, examples: goldenEvents() })),
    'docs/subscription-event.schema.json': print(EVENT_SCHEMA),
    [PROBLEMS_PAGE]: withProblemTable(readFileSync(PROBLEMS_PAGE, 'utf8')),
  };
}

const PROBLEMS_PAGE = 'docs/api/problems.md';
const TOPIC = { topic: 'subscription-events', broker: '127.0.0.1:19092', canary: CANARY_EMAIL };

function goldenEvents(): Record<Operation, object> {
  const events = OPERATIONS.map((operation) => [
    operation,
    JSON.parse(readFileSync(`libs/events/fixtures/${operation}.json`, 'utf8')) as object,
  ]);
  return Object.fromEntries(events) as Record<Operation, object>;
}

/** Replaces the table at the end of the page by one with a row for each problem type. */
function withProblemTable(page: string): string {
  const [text] = page.split('| `/problems/…` |');
  const rows = Object.entries(PROBLEM_TYPES).map(([name, { status, meaning }]) => `| \`${name}\` | ${status} | ${meaning} |`);
  return `${text!}| \`/problems/…\` | status | |\n|---|---|---|\n${rows.join('\n')}\n`;
}

function print(document: object): string {
  return `${JSON.stringify(document, null, 2)}\n`;
}
