import { Controller, Get, Global, Header, HttpCode, HttpException, Inject, Module, type OnModuleInit, Optional, Req } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { AuthService } from '#auth';
import { SETTINGS, type Settings } from '#config';
import { addressOf, Public, StreamingResponses } from '#http';
import { BrokerCheck } from '#kafka';
import { CertificateMetrics, GracefulShutdown, Health, type HealthReport, isReady, Watchdog } from '#observability';
import { type Database, DB1, DB2 } from '#postgres';

@ApiExcludeController()
@Public()
@Controller('health')
class HealthController {
  constructor(
    private readonly health: Health,
    private readonly auth: AuthService,
  ) {}

  /** The process runs. Dependencies are not checked: a restart would not repair a database. */
  @Get('live')
  @HttpCode(200)
  live(): { status: string } {
    return { status: 'ok' };
  }

  /**
   * 200 while the process can do its work; 503 while it starts, when it cannot work, and when it is about to end.
   * The body lists all checks; without a credential, where one is needed, only the names of those that fail.
   */
  @Get('ready')
  async ready(@Req() request: Request): Promise<HealthReport> {
    const report = await this.health.report();
    const isTrusted = await this.auth.isTrusted({ address: addressOf(request) ?? '', rawHeaders: request.raw.rawHeaders });
    const shown = isTrusted ? report : failuresOf(report);
    if (!isReady(report.status)) throw new HttpException(shown, 503);
    return shown;
  }
}

/** The parts of Fastify's request that are used here. */
interface Request {
  readonly raw: { readonly rawHeaders: readonly string[] };
}

/** Returns the names of the checks that fail, without their errors, which name hosts and users. */
function failuresOf({ status, checks }: HealthReport): HealthReport {
  const failing = Object.entries(checks).filter(([, check]) => check.status === 'down');
  return { status, checks: Object.fromEntries(failing.map(([name]) => [name, { status: 'down' }])) };
}

/**
 * Serves `/health/live` and `/health/ready`, and checks the databases and Kafka that the roles use. Provides {@link GracefulShutdown},
 * {@link StreamingResponses} and {@link Watchdog}.
 */
@Global()
@Module({
  controllers: [HealthController],
  providers: [Health, GracefulShutdown, StreamingResponses, Watchdog, BrokerCheck],
  exports: [Health, GracefulShutdown, StreamingResponses, Watchdog, BrokerCheck],
})
export class HealthModule implements OnModuleInit {
  constructor(
    private readonly health: Health,
    @Inject(SETTINGS) private readonly settings: Settings,
    private readonly broker: BrokerCheck,
    @Optional() @Inject(DB1) private readonly db1?: Database,
    @Optional() @Inject(DB2) private readonly db2?: Database,
  ) {}

  /** In a process with the api role, only the dependencies of the API are critical. */
  onModuleInit(): void {
    const roles = this.settings.roles;
    const api = roles.includes('api');
    if (this.db1) this.registerDatabase(this.db1, true);
    if (this.db2) this.registerDatabase(this.db2, !api && roles.includes('replica'));
    if (this.settings.kafka) {
      this.health.register({ name: 'kafka', critical: !api, check: () => timed(() => this.broker.check()) });
    }
  }

  private registerDatabase(database: Database, critical: boolean): void {
    this.health.register({ name: database.name, critical, check: () => timed(() => database.check()) });
  }
}

async function timed(check: () => Promise<void>): Promise<{ latency_ms: number }> {
  const started = performance.now();
  await check();
  return { latency_ms: Math.round((performance.now() - started) * 10) / 10 };
}

/** Serves the Prometheus metrics of this process. Labels never contain an email. */
@ApiExcludeController()
@Public()
@Controller('metrics')
class MetricsController {
  constructor(@Inject(Registry) private readonly registry: Registry) {}

  @Get()
  @Header('content-type', Registry.PROMETHEUS_CONTENT_TYPE)
  read(): Promise<string> {
    return this.registry.metrics();
  }
}

/** Gauges of prom-client's that are named as counters, which Prometheus' linter refuses. The same without `_total` tell the number of each type. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/** Serves `/metrics` and provides the {@link Registry} for the metrics of the roles. Each application has its own, so that a process can run two. */
@Global()
@Module({
  controllers: [MetricsController],
  providers: [
    {
      provide: Registry,
      useFactory: (): Registry => {
        const register = new Registry();
        collectDefaultMetrics({ register });
        for (const name of MISNAMED) register.removeSingleMetric(name);
        return register;
      },
    },
    CertificateMetrics,
  ],
  exports: [Registry],
})
export class MetricsModule {}
