import { HttpException } from '@nestjs/common';
import type { FastifyAdapter } from '@nestjs/platform-fastify';

const TYPE = 'application/merge-patch+json';

/** PATCH takes JSON merge patches by their own type (RFC 7396), too. To other methods it is an unknown one. */
export function takeMergePatch(adapter: FastifyAdapter): void {
  const fastify = adapter.getInstance();
  const parseJson = fastify.getDefaultJsonParser('error', 'error');
  fastify.addContentTypeParser<string>(TYPE, { parseAs: 'string' }, (request, body, done) => {
    if (request.method === 'PATCH') void parseJson(request, body, done);
    else done(new HttpException(`${TYPE} is for PATCH alone`, 415));
  });
}
