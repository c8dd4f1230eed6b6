import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { Settings } from '#config';
import { Kafka, type Admin } from 'kafkajs';
import { kafkaClientOptions } from './client-options.js';

const TIMEOUT_MS = 2_000;

/** Asks the brokers whether they are there, over a connection that is kept while it answers. */
@Injectable()
export class BrokerCheck implements OnApplicationShutdown {
  private admin: Admin | undefined;
  private asking: Promise<unknown> | undefined;

  constructor(private readonly config: ConfigService<Settings, true>) {}

  /** @throws Error when no broker answers within 2 s. */
  async check(): Promise<void> {
    this.asking ??= this.ask().finally(() => (this.asking = undefined));
    const timer = new AbortController();
    const timeout = delay(TIMEOUT_MS, undefined, { signal: timer.signal }).then(() => {
      throw new Error(`no answer within ${TIMEOUT_MS} ms`);
    });
    try {
      await Promise.race([this.asking, timeout]);
    } finally {
      timeout.catch(() => undefined);
      this.asking?.catch(() => undefined);
      timer.abort();
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.admin?.disconnect();
  }

  private async ask(): Promise<void> {
    if (!this.admin) {
      const settings = this.config.get('kafka', { infer: true })!;
      const options = kafkaClientOptions(settings, 'subscription-sync-health', 2 * TIMEOUT_MS);
      this.admin = new Kafka({ ...options, retry: { retries: 0 }, requestTimeout: TIMEOUT_MS }).admin();
    }
    try {
      await this.admin.connect();
      await this.admin.describeCluster();
    } catch (error) {
      this.startAnew();
      throw error;
    }
  }

  /** kafkajs may take a connection that has ended for one that is open, and ask on it for ever: what failed once is not asked again. */
  private startAnew(): void {
    this.admin?.disconnect().catch(() => undefined);
    this.admin = undefined;
  }
}
