import type { FastifyAdapter } from '@nestjs/platform-fastify';
import { REQUEST_ID_HEADER, requestIdOf } from '#http';

/** Every request has an id: the caller's where it is well-formed. It is in every answer and in the log. */
export function giveRequestIds(adapter: FastifyAdapter): void {
  const fastify = adapter.getInstance();
  fastify.setGenReqId(({ headers }) => requestIdOf(headers[REQUEST_ID_HEADER]));
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.header(REQUEST_ID_HEADER, request.id);
    done();
  });
}
