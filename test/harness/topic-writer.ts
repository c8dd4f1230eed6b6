import { Partitioners, type Message } from 'kafkajs';
import type { World } from './world.js';

/** Puts records on a world's topic, as a program that is not ours would. */
export async function putOnTopic(world: World, messages: readonly Message[]): Promise<void> {
  const producer = world.kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  await producer.send({ topic: world.topic, messages: [...messages] });
  await producer.disconnect();
}
