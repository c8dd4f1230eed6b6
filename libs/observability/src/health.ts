import { Inject, Injectable } from '@nestjs/common';
import { TIMINGS, type Timings } from '#config';
import { GracefulShutdown } from './graceful-shutdown.js';
import { coalesce } from './metrics.js';

/** A dependency or a part of the process, as `/health/ready` shows it. */
export interface HealthCheck {
  /** `db1`, `db2`, `kafka`, `sync`, `replica`, `reconciliation`, `watchdog`. */
  readonly name: string;
  /** Whether the process is useless while this check fails. */
  readonly critical: boolean;
  /** Whether the process counts as starting until this check has succeeded once: true for the roles `sync` and `replica`. */
  readonly awaitedAtStart?: boolean;
  /** Returns details to show while the part is up. Throws when it is down; the error's message is shown, so it says what is wrong. */
  readonly check: () => Promise<Record<string, unknown>>;
}

export interface HealthReport {
  readonly status: 'ok' | 'degraded' | 'starting' | 'unavailable' | 'stopping';
  readonly checks: Record<string, CheckReport>;
}

interface CheckReport {
  readonly status: 'up' | 'down';
  readonly [detail: string]: unknown;
}

/** Runs the checks that the roles of this process have registered (ADR 7). */
@Injectable()
export class Health {
  private readonly checks: HealthCheck[] = [];
  /** Names of the roles that have not been up yet. */
  private readonly awaited = new Set<string>();
  private readonly createdAt = performance.now();
  private lastStatus: HealthReport['status'] | undefined;

  /**
   * Runs all checks. Requests that come meanwhile share the result, because `/health/ready` needs no credential and no limit counts it.
   *
   * - `unavailable`: a critical check fails, and a load balancer should send its requests elsewhere.
   * - `starting`: a role has not been up once since the process started. Ends after `timings.observability.startupMs` in any case: an API
   *   whose Kafka or DB2 is down takes writes and must not stay out of rotation.
   * - `degraded`: another check fails. With DB2 or Kafka down the API still takes writes, and nothing is lost.
   * - `stopping`: the process is about to end, whatever the checks say.
   */
  readonly report = coalesce(() => this.runChecks());

  constructor(
    private readonly shutdown: GracefulShutdown,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {}

  /** Whether a load balancer may be sending requests here: true unless the last report told it not to. */
  get mayBeInUse(): boolean {
    return this.lastStatus === undefined || isReady(this.lastStatus);
  }

  register(check: HealthCheck): void {
    this.checks.push(check);
    if (check.awaitedAtStart) this.awaited.add(check.name);
  }

  private async runChecks(): Promise<HealthReport> {
    if (this.shutdown.stopping) return { status: 'stopping', checks: {} };
    const results = await Promise.all(
      this.checks.map(async (check) => {
        const report = await run(check);
        if (report.status === 'up') this.awaited.delete(check.name);
        return { ...check, report };
      }),
    );
    const failed = results.filter(({ report }) => report.status === 'down');
    this.lastStatus = this.statusOf(failed);
    return { status: this.lastStatus, checks: Object.fromEntries(results.map(({ name, report }) => [name, report])) };
  }

  private statusOf(failed: readonly HealthCheck[]): HealthReport['status'] {
    if (failed.some(({ critical }) => critical)) return 'unavailable';
    if (failed.some(({ name }) => this.awaited.has(name)) && performance.now() - this.createdAt < this.timings.observability.startupMs) {
      return 'starting';
    }
    return failed.length > 0 ? 'degraded' : 'ok';
  }
}

/** Whether `/health/ready` answers 200. */
export function isReady(status: HealthReport['status']): boolean {
  return status === 'ok' || status === 'degraded';
}

async function run({ check }: HealthCheck): Promise<CheckReport> {
  try {
    return { status: 'up', ...(await check()) };
  } catch (error) {
    return { status: 'down', error: (error as Error).message };
  }
}
