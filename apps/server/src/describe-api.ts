import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { OpenAPIObject } from '@nestjs/swagger';
import { DEFAULT_TIMINGS, readSettings } from '#config';
import { AppModule } from './app.module.js';
import { createHttpAdapter } from './fastify-adapter.js';
import { apiDocument } from './openapi.js';

/** Placeholder addresses: nothing connects to them, and they are not part of the document. */
const UNUSED_ADDRESS = Object.fromEntries(
  ['DB1', 'DB2'].flatMap((prefix) => ['HOST', 'USER', 'PASSWORD', 'DATABASE'].map((name) => [`${prefix}_${name}`, 'nowhere'])),
);

/** Builds the OpenAPI document of all roles. Nest's preview mode only creates the routes and connects to nothing. */
export async function describeApi(): Promise<OpenAPIObject> {
  const settings = readSettings({ ...UNUSED_ADDRESS, KAFKA_SERVER: 'nowhere:9092' });
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.forRoot(settings), createHttpAdapter(DEFAULT_TIMINGS), {
    preview: true,
    logger: false,
    abortOnError: false,
  });
  return apiDocument(app);
}
