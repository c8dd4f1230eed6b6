import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { OpenAPIObject } from '@nestjs/swagger';
import { readSettings } from '#config';
import { AppModule } from './app.module.js';
import { createHttpAdapter } from './fastify-adapter.js';
import { apiDocument } from './openapi.js';

/** Somewhere: nothing of it is connected, and nothing of it is in the document. */
const UNUSED_ADDRESS = Object.fromEntries(
  ['DB1', 'DB2'].flatMap((prefix) => ['HOST', 'USER', 'PASSWORD', 'DATABASE'].map((name) => [`${prefix}_${name}`, 'nowhere'])),
);

/** The OpenAPI document of all roles. Nest's preview mode makes nothing but the routes: no database, no Kafka. */
export async function describeApi(): Promise<OpenAPIObject> {
  const settings = readSettings({ ...UNUSED_ADDRESS, KAFKA_SERVER: 'nowhere:9092' });
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.forRoot(settings), createHttpAdapter([]), {
    preview: true,
    logger: false,
    abortOnError: false,
  });
  return apiDocument(app);
}
