import { Controller, Get, Global, Header, HttpCode, HttpException, Inject, Module, type OnModuleInit, Optional } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { SETTINGS, type Settings } from '#config';
import { Public, StreamingResponses } from '#http';
import { BrokerCheck } from '#kafka';
import { Health, type HealthReport, GracefulShutdown, Watchdog } from '#observability';
import { type Database, DB1, DB2 } from '#postgres';

@ApiExcludeController()
@Public()
@Controller('health')
class HealthController {
  constructor(private readonly health: Health) {}

  /** The process runs. Nothing else is asked: restarting it would not mend a database. */
  @Get('live')
  @HttpCode(200)
  live(): { status: string } {
    return { status: 'ok' };
  }

  /** 200 while the process can do its work, 503 when it can't or is about to end; the body names each dependency. */
  @Get('ready')
  async ready(): Promise<HealthReport> {
    const report = await this.health.report();
    if (report.status === 'unavailable' || report.status === 'stopping') throw new HttpException(report, 503);
    return report;
  }
}

/** `/health/live` and `/health/ready`, with the databases and Kafka checked as far as the roles use them; {@link GracefulShutdown}, {@link StreamingResponses} and {@link Watchdog}. */
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

  /** With the API in the process, only what the API needs is critical. */
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

/** Prometheus metrics of this process. Labels never hold an email. */
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

/** `/metrics`, and the {@link Registry} to which the roles add theirs. One for each application, so that two can live in a process. */
@Global()
@Module({
  controllers: [MetricsController],
  providers: [
    {
      provide: Registry,
      useFactory: (): Registry => {
        const register = new Registry();
        collectDefaultMetrics({ register });
        return register;
      },
    },
  ],
  exports: [Registry],
})
export class MetricsModule {}
