import { type BeforeApplicationShutdown, Injectable, Logger } from '@nestjs/common';

/** A part of the process that finishes its work before the connections close. */
interface ShutdownStep {
  /** Description of the step, for the log and {@link GracefulShutdown.unfinished}. */
  readonly name: string;
  /** Finishes the work in progress and releases what other processes wait for (leases, consumer groups). */
  readonly stop: () => Promise<void>;
}

/**
 * Runs the steps that must finish before the process closes its connections. All steps run at the same time: a request that waits for a
 * lock must not keep a standby from taking over, and a database that does not answer must not keep work on the other one from being
 * committed (ADR 12).
 */
@Injectable()
export class GracefulShutdown implements BeforeApplicationShutdown {
  private readonly logger = new Logger('shutdown');
  private readonly steps: ShutdownStep[] = [];
  private readonly finished = new Set<string>();
  private announced = false;

  register(step: ShutdownStep): void {
    this.steps.push(step);
  }

  /** Makes readiness fail from now on. Everything else continues to work. */
  announce(): void {
    this.announced = true;
  }

  /** Whether the process is about to end. */
  get stopping(): boolean {
    return this.announced;
  }

  /** Names of the steps that have not finished yet, for messages to the operator. */
  get unfinished(): readonly string[] {
    const names = this.steps.map(({ name }) => name).filter((name) => !this.finished.has(name));
    return names.length > 0 ? names : ['closing the connections'];
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.announce();
    await Promise.all(
      this.steps.map(async ({ name, stop }) => {
        await stop().catch((error: unknown) =>
          this.logger.error({ code: 'shutdown-step-failed', message: `${name}: ${(error as Error).message}` }),
        );
        this.finished.add(name);
      }),
    );
  }
}
