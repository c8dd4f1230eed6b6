import { describeApi } from '../../apps/server/src/contract/describe-api.js';

/** What integrators read, by path: generated, and committed. */
export async function contractFiles(): Promise<Record<string, string>> {
  const openapi = await describeApi();
  return { 'docs/openapi.json': print(openapi) };
}

function print(document: object): string {
  return `${JSON.stringify(document, null, 2)}\n`;
}
