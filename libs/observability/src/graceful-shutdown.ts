import { type BeforeApplicationShutdown, Injectable, Logger } from '@nestjs/common';

interface Part {
  readonly name: string;
  readonly stop: () => Promise<void>;
}

/**
 * What the process has to finish before its connections close. All parts end side by side: a request that waits for a lock must
 * not keep a standby from taking over, nor one database's silence the other's work from being committed.
 */
@Injectable()
export class GracefulShutdown implements BeforeApplicationShutdown {
  private readonly logger = new Logger('shutdown');
  private readonly parts: Part[] = [];
  private readonly ended = new Set<string>();
  private announced = false;

  /** `stop` finishes what is in hand and lets go of what others wait for. `name` is what the log calls it when it does not end. */
  register(part: Part): void {
    this.parts.push(part);
  }

  /** From now on readiness fails, while everything goes on. */
  announce(): void {
    this.announced = true;
  }

  /** Whether the process is about to end. */
  get stopping(): boolean {
    return this.announced;
  }

  /** What has not ended yet, for people. */
  get unfinished(): readonly string[] {
    const names = this.parts.map(({ name }) => name).filter((name) => !this.ended.has(name));
    return names.length > 0 ? names : ['closing the connections'];
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.announce();
    await Promise.all(
      this.parts.map(async ({ name, stop }) => {
        await stop().catch((error: unknown) => this.logger.error(`${name}: ${(error as Error).message}`));
        this.ended.add(name);
      }),
    );
  }
}
