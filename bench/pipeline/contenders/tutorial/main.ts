import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import { NestFactory } from '@nestjs/core';
import { Transport } from '@nestjs/microservices';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { ApiModule, HandlerModule, KAFKA_OPTIONS } from './app.js';

/** Runs the `api` or the `handler` of the tutorial's service, and sends its parent the port, 0 for the handler. */
if (process.argv[2] === 'api') {
  const app = await NestFactory.create<NestFastifyApplication>(ApiModule, new FastifyAdapter(), { logger: ['warn', 'error'] });
  await app.listen(0, '127.0.0.1');
  process.send!((app.getHttpServer().address() as AddressInfo).port);
} else {
  const app = await NestFactory.createMicroservice(HandlerModule, {
    transport: Transport.KAFKA,
    options: KAFKA_OPTIONS,
    logger: ['warn', 'error'],
  });
  await app.listen();
  process.send!(0);
}
process.once('disconnect', () => process.exit());
