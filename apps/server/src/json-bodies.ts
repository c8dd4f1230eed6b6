import { HttpException } from '@nestjs/common';
import type { FastifyAdapter } from '@nestjs/platform-fastify';
import { jsonFlaws, ProblemException, wrongFields } from '#http';

const MERGE_PATCH_TYPE = 'application/merge-patch+json';
const COMPRESSED =
  'A JSON body cannot be compressed. Send it without Content-Encoding; only the file of an import may be compressed, with gzip';

/**
 * Registers the parsers of JSON bodies. An empty body is no body, whatever its media type: many clients (axios) name the type of every request,
 * of a DELETE too. A route that needs a body answers 400. A compressed body is 415, and a text that does not have one meaning is refused
 * ({@link jsonFlaws}). PATCH also accepts JSON merge patches under their own media type (RFC 7396); for other methods that type is unknown.
 */
export function registerJsonParsers(adapter: FastifyAdapter): void {
  const fastify = adapter.getInstance();
  // jsonFlaws looks for what Fastify's parser would call a poisoned prototype, and names it.
  const parseText = fastify.getDefaultJsonParser('ignore', 'ignore');
  const parse: typeof parseText = (request, body, done) => {
    if (body === '') {
      done(null);
      return;
    }
    if (isCompressed(request.headers['content-encoding'])) {
      done(new ProblemException('unsupported-media-type', COMPRESSED, {}, { 'accept-encoding': 'identity' }));
      return;
    }
    void parseText(request, body, (error, value) => {
      const flaws = error ? [] : jsonFlaws(body, value);
      done(flaws.length > 0 ? wrongFields(flaws) : error, value);
    });
  };
  fastify.addContentTypeParser<string>('application/json', { parseAs: 'string' }, parse);
  fastify.addContentTypeParser<string>(MERGE_PATCH_TYPE, { parseAs: 'string' }, (request, body, done) => {
    if (request.method === 'PATCH') parse(request, body, done);
    else done(new HttpException(`${MERGE_PATCH_TYPE} is only supported for PATCH`, 415));
  });
}

/** Whether a header names a content coding. `identity` is none. */
function isCompressed(header: string | undefined): boolean {
  return header?.split(',').some((coding) => !['', 'identity'].includes(coding.trim().toLowerCase())) ?? false;
}
