import { expect, jest, test } from '@jest/globals';
import { Kafka } from 'kafkajs';
import { DEFAULT_TIMINGS, readSettings } from '#config';
import { World } from '../../../test/harness/world.js';
import { kafkaClientOptions } from './client.js';

test('a connection without waiting requests sets no timer for them', () =>
  World.lend(async (world) => {
    const { kafka } = readSettings(world.environment());
    const admin = new Kafka(kafkaClientOptions(kafka!, 'test', DEFAULT_TIMINGS.kafka)).admin();
    const timers = jest.spyOn(globalThis, 'setTimeout');
    try {
      await admin.connect();
      expect(await admin.listTopics()).not.toContain(world.topic);
      expect(timers.mock.calls.filter(([, delay]) => delay! < 0)).toEqual([]);
    } finally {
      timers.mockRestore();
      await admin.disconnect();
    }
  }));
