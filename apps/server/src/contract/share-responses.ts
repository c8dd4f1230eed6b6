import { isDeepStrictEqual } from 'node:util';
import type { OpenAPIObject } from '@nestjs/swagger';
import { routesOf, type Response } from './document.js';

/** Errors are said once: as components, named after the kinds of problem that they are. */
export function shareResponses(document: OpenAPIObject): void {
  const shared: Record<string, Response> = {};
  for (const { operation } of routesOf(document)) {
    for (const [status, response] of Object.entries(operation.responses) as [string, Response][]) {
      const media = response.content?.['application/problem+json'];
      if (!media) continue;
      const name = [status, ...Object.keys(media.examples!)].join('.');
      shared[name] ??= response;
      if (!isDeepStrictEqual(shared[name], response)) throw new Error(`${operation.operationId} describes ${name} in a way of its own`);
      operation.responses[status] = { $ref: `#/components/responses/${name}` };
    }
  }
  const byName = Object.entries(shared).sort(([a], [b]) => (a < b ? -1 : 1));
  document.components!.responses = Object.fromEntries(byName);
}
