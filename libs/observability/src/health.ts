import { Injectable } from '@nestjs/common';
import { GracefulShutdown } from './graceful-shutdown.js';

/** Something that the process needs or does, as `/health/ready` shows it. */
export interface HealthCheck {
  /** `db1`, `db2`, `kafka`, `sync`, `replica`. */
  readonly name: string;
  /** Whether this process is of no use without it. */
  readonly critical: boolean;
  /** Details to show while it is up. Throws when it is down; the message is shown, so it says what is wrong. */
  readonly check: () => Promise<Record<string, unknown>>;
}

export interface HealthReport {
  readonly status: 'ok' | 'degraded' | 'unavailable' | 'stopping';
  readonly checks: Record<string, CheckReport>;
}

interface CheckReport {
  readonly status: 'up' | 'down';
  readonly [detail: string]: unknown;
}

/** What the roles of this process registered to be checked. */
@Injectable()
export class Health {
  private readonly checks: HealthCheck[] = [];
  private newest: HealthReport['status'] | undefined;

  constructor(private readonly shutdown: GracefulShutdown) {}

  /** Whether a load balancer may be sending requests here: it may, unless it was last told that it must not. */
  get mayBeInUse(): boolean {
    return this.newest !== 'unavailable';
  }

  register(check: HealthCheck): void {
    this.checks.push(check);
  }

  /**
   * `unavailable` when a critical check fails: a load balancer should go elsewhere. `degraded` when another one does: with DB2
   * or Kafka down the API still takes writes, and nothing is lost. `stopping` at once, whatever is up.
   */
  async report(): Promise<HealthReport> {
    if (this.shutdown.stopping) return { status: 'stopping', checks: {} };
    let status: HealthReport['status'] = 'ok';
    const entries = await Promise.all(
      this.checks.map(async ({ name, critical, check }): Promise<[string, CheckReport]> => {
        try {
          return [name, { status: 'up', ...(await check()) }];
        } catch (error) {
          if (critical) status = 'unavailable';
          else if (status === 'ok') status = 'degraded';
          return [name, { status: 'down', error: (error as Error).message }];
        }
      }),
    );
    this.newest = status;
    return { status, checks: Object.fromEntries(entries) };
  }
}
