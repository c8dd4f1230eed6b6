export { CertificateMetrics } from './certificate-metrics.js';
export { GracefulShutdown } from './graceful-shutdown.js';
export { Health, type HealthReport, isReady } from './health.js';
export { createLogger, NestLogger, toggleDebugLevel } from './logger.js';
export { coalesce } from './metrics.js';
export { type BatchSpans, type RequestSpan, Tracing } from './tracing.js';
export { startTracing, TracingModule } from './tracing.module.js';
export { Watchdog, type WatchedPart } from './watchdog.js';
