export { Health } from './health.js';
export { HealthModule } from './health.module.js';
export { NestLogger, createLogger } from './logger.js';
export { MetricsModule } from './metrics.module.js';
export { ProblemFilter, type FieldError } from './problem.filter.js';
