import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { problem, PROBLEM_TYPE, REQUEST_ID_HEADER } from '#http';

const STATUS: Readonly<Record<string, number>> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };
const DETAIL: Readonly<Record<number, string>> = {
  408: 'The request did not arrive in time',
  431: 'The headers are larger than 16 KB',
};

/** What is no HTTP, or never ends: Node hands over the socket, and there is no request. */
export function answerMalformed(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const status = STATUS[error.code ?? ''] ?? 400;
  const id = randomUUID();
  const body = JSON.stringify(problem(status, DETAIL[status] ?? 'The request is no well-formed HTTP', { request_id: id }));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]!}\r\ncontent-type: ${PROBLEM_TYPE}\r\n${REQUEST_ID_HEADER}: ${id}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
