import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { Busboy } from '@fastify/busboy';
import { UnsupportedMediaTypeException } from '@nestjs/common';
import { ProblemException } from '#http';
import type { FileFormat, SentFile } from './file-content.js';
import { UnreadableFileError } from './import-lines.js';

/** Routes that accept files. */
export const IMPORT_ROUTES = ['subscriptions/import', 'subscription_status/import'];

const FORM = 'multipart/form-data';
/** Replaces application/json, of which Fastify reads the whole body into memory. */
const JSON_FILE = 'application/x-json-file';
/** Formats by media type; undefined where the content decides. */
const FORMATS: Readonly<Record<string, FileFormat | undefined>> = {
  'application/x-ndjson': 'ndjson',
  'text/csv': 'csv',
  [JSON_FILE]: 'json',
  'application/gzip': undefined,
  [FORM]: undefined,
};
const ACCEPTED = 'application/x-ndjson, text/csv, application/json, application/gzip or multipart/form-data';

/** The parts of Fastify's request that are used here. */
export interface FileRequest {
  readonly body: unknown;
  headers: Readonly<Record<string, string | undefined>>;
  readonly routeOptions: { readonly url?: string };
}

/** The part of Fastify that is used here. */
interface Fastify {
  addHook(name: 'onRequest', hook: (request: FileRequest, reply: unknown, done: () => void) => void): void;
  addContentTypeParser(
    types: string[],
    parser: (request: FileRequest, payload: IncomingMessage, done: (error: Error | null, body?: unknown) => void) => void,
  ): void;
}

/** Passes files to the import's handler as streams, without a limit or a buffer. Every other route accepts JSON alone. */
export function acceptFiles(fastify: Fastify): void {
  const urls = new Set(IMPORT_ROUTES.map((route) => `/${route}`));
  const isImport = ({ routeOptions }: FileRequest): boolean => urls.has(routeOptions.url ?? '');
  fastify.addHook('onRequest', (request, _reply, done) => {
    if (isImport(request) && mediaTypeOf(request) === 'application/json') request.headers = { 'content-type': JSON_FILE };
    done();
  });
  fastify.addContentTypeParser(Object.keys(FORMATS), (request, payload, done) => {
    if (isImport(request)) done(null, payload);
    else done(Object.assign(new UnsupportedMediaTypeException('Unsupported Media Type'), { statusCode: 415 }));
  });
}

function mediaTypeOf({ headers }: FileRequest): string {
  return headers['content-type']?.split(';')[0]!.trim().toLowerCase() ?? '';
}

/** Returns the file of a request. @throws an HttpException if the request does not have one that can be read. */
export async function sentFile(request: FileRequest): Promise<SentFile> {
  const { body, headers } = request;
  const type = mediaTypeOf(request);
  if (!(type in FORMATS) || !(body instanceof Readable)) throw new UnsupportedMediaTypeException(`Send the file as ${ACCEPTED}`);
  const encoding = headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (!(type === FORM ? ['identity'] : ['identity', 'gzip', 'x-gzip']).includes(encoding)) throw unsupportedCoding(type);
  const gzip = encoding !== 'identity' || type === 'application/gzip';
  if (type !== FORM) return { stream: body, format: FORMATS[type], gzip };
  return { stream: await fileOfForm(body, headers['content-type']!), format: undefined, gzip: false };
}

/** The file inside a form may be compressed; the form itself is not decompressed. */
function unsupportedCoding(type: string): ProblemException {
  const [detail, accepted] =
    type === FORM
      ? ['A form cannot have a Content-Encoding. The file in it may be compressed with gzip', 'identity']
      : ['The Content-Encoding of a file can only be gzip', 'gzip, identity'];
  return new ProblemException('unsupported-media-type', detail, {}, { 'accept-encoding': accepted });
}

/**
 * Returns the content of the one file of a form as a stream. It fails if the form goes on with anything else. @fastify/multipart is the same
 * parser, but accepts forms on every route of the instance on which it is registered.
 */
async function fileOfForm(body: Readable, contentType: string): Promise<Readable> {
  let form: InstanceType<typeof Busboy>;
  try {
    form = new Busboy({ headers: { 'content-type': contentType }, limits: { files: 1 } });
  } catch {
    throw new ProblemException('invalid-request', 'The Content-Type multipart/form-data must have a boundary');
  }
  let file: NodeJS.ReadableStream | undefined;
  const ended = new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => {
      reject(error);
      (file as Readable | undefined)?.destroy(error);
    };
    form.once('field', () =>
      fail(new UnreadableFileError('The form has a field that is not a file. Put the options into the query of the URL')),
    );
    form.once('filesLimit', () => fail(new UnreadableFileError('The form has more than one file. Send one file')));
    form.once('error', () => fail(new UnreadableFileError('The form is not well-formed multipart/form-data, or ends too early')));
    body.once('error', fail);
    form.once('finish', resolve);
  });
  ended.catch(() => undefined);
  const stopReading = (): void => {
    body.unpipe(form);
    // A client that is still sending does not read the answer.
    body.resume();
  };
  const opened = new Promise<NodeJS.ReadableStream>((resolve) => {
    form.once('file', (_name, stream) => {
      file = stream;
      // The reader of `ended` gets the error.
      stream.on('error', () => undefined);
      resolve(stream);
    });
  });
  body.pipe(form);
  try {
    const stream = await Promise.race([opened, ended]);
    if (stream) return Readable.from(partOf(stream, ended, stopReading), { objectMode: false });
  } catch (error) {
    stopReading();
    throw error instanceof UnreadableFileError ? new ProblemException('invalid-request', error.message) : error;
  }
  throw new ProblemException('invalid-request', 'The form has no file. Send one file');
}

async function* partOf(file: NodeJS.ReadableStream, ended: Promise<void>, stopReading: () => void): AsyncGenerator<Buffer, void, void> {
  try {
    for await (const chunk of file) yield chunk as Buffer;
    await ended;
  } finally {
    stopReading();
  }
}
