import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'pg';
import { DEFAULT_TABLE } from '#config';
import { ROW_COLUMN_NAMES } from '#events';
import { describeTable, fieldsOf } from '#postgres';
import { METADATA, readStatements, WRITE_ONE } from '#subscriptions';

/**
 * The peer, a process of its own: only node:http and pg. It uses the same statements with the same parameters, prepared in the same way, on
 * the same number of connections, and has no routing, validation, access check, log, ETag or error handling. Sends its port to its parent.
 */
const pool = new Pool({ connectionString: process.argv[2]!, max: Number(process.argv[3]) });
const table = await describeTable(
  async <Row>(sql: string, values?: unknown[]) => (await pool.query(sql, values)).rows as Row[],
  'DB1',
  DEFAULT_TABLE,
);
const READ_ONE = readStatements(table, fieldsOf(table, ROW_COLUMN_NAMES)).exact;
const CONTEXT = { actor: 'key:bench:0123456789abcdef', origin: 'api' };

const server = createServer((request, response) => {
  void answer(request).then(({ status, body }) => {
    response.statusCode = status;
    response.setHeader('content-type', 'application/json');
    response.end(body);
  });
});
server.listen(0, '127.0.0.1', () => process.send!((server.address() as AddressInfo).port));

async function answer(request: IncomingMessage): Promise<{ status: number; body: string }> {
  const email = request.url!.slice('/subscriptions/'.length);
  if (request.method === 'GET') return { status: 200, body: await bodyOf({ ...READ_ONE, values: [email] }) };
  const fields = JSON.parse(await textOf(request)) as { email?: string };
  if (request.method === 'PATCH') {
    return {
      status: 200,
      body: await bodyOf({ ...WRITE_ONE, values: ['patch', email, JSON.stringify(fields), JSON.stringify(CONTEXT), null, null] }),
    };
  }
  const { email: created, ...rest } = fields;
  const context = JSON.stringify({ ...CONTEXT, metadata_limits: METADATA });
  return { status: 201, body: await bodyOf({ ...WRITE_ONE, values: ['create', created, JSON.stringify(rest), context, null, null] }) };
}

async function bodyOf(query: { name: string; text: string; values: unknown[] }): Promise<string> {
  const { rows } = await pool.query<{ body: string }>(query);
  return rows[0]!.body;
}

function textOf(request: IncomingMessage): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => (text += chunk));
    request.on('end', () => resolve(text));
  });
}
