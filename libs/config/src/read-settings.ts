import { ConfigurationError } from './configuration.error.js';
import type { Environment } from './environment.js';
import { ROLES, type CaptureMode, type DatabaseSettings, type KafkaSettings, type Role, type Settings } from './settings.js';

const CAPTURE_MODES: readonly CaptureMode[] = ['auto', 'wal', 'poll'];
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];
/** Kafka's own rule for topic names. */
const TOPIC_NAME = /^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/;
/** PostgreSQL's own rule for replication slot names. */
const SLOT_NAME = /^[a-z0-9_]{1,63}$/;

/**
 * Checks the whole environment and returns the settings.
 * @throws ConfigurationError naming every wrong or missing variable at once.
 */
export function readSettings(environment: Environment): Settings {
  const read = new Reader(environment);
  const roles = read.list('ROLES', ROLES, ROLES);
  const usesDb1 = roles.includes('api') || roles.includes('sync');
  const usesKafka = roles.includes('sync') || roles.includes('replica');
  const db1 = usesDb1 ? readDatabase(read, 'DB1') : undefined;
  const settings: Settings = {
    roles,
    host: read.text('HOST', '127.0.0.1'),
    port: read.integer('PORT', 3000, 0, 65_535),
    logLevel: read.oneOf('LOG_LEVEL', LOG_LEVELS, 'info'),
    db1,
    db2: roles.includes('replica') || read.isSet('DB2_HOST') ? readDatabase(read, 'DB2') : undefined,
    kafka: usesKafka ? readKafka(read) : undefined,
    capture: {
      mode: read.oneOf('CAPTURE', CAPTURE_MODES, 'auto'),
      intervalMs: read.integer('SYNC_INTERVAL_MS', 50, 1, 3_600_000),
      slot: read.matching('CAPTURE_SLOT', SLOT_NAME, defaultSlot(db1?.database ?? ''), 'up to 63 of a-z, 0-9 and _'),
    },
    shutdown: {
      delayMs: read.integer('SHUTDOWN_DELAY_MS', 1_000, 0, 600_000),
      timeoutMs: read.integer('SHUTDOWN_TIMEOUT_MS', 25_000, 1_000, 3_600_000),
    },
    stallTimeoutMs: read.integer('STALL_TIMEOUT_MS', 60_000, 1_000, 86_400_000),
    reconcile: {
      intervalS: read.integer('RECONCILE_INTERVAL', 900, 0, 31_536_000),
      repair: read.oneOf('RECONCILE_REPAIR', ['on', 'off'], 'on') === 'on',
      repairAtMost: read.integer('RECONCILE_REPAIR_AT_MOST', 10_000, 0, 2_147_483_647),
    },
    eventStreams: read.integer('EVENT_STREAMS', 200, 1, 100_000),
    logRetentionDays: read.integer('LOG_RETENTION_DAYS', 30, 1, 36_500),
  };
  if (read.problems.length > 0) throw new ConfigurationError(read.problems);
  return settings;
}

function readDatabase(read: Reader, name: 'DB1' | 'DB2'): DatabaseSettings {
  return {
    host: read.text(`${name}_HOST`),
    port: read.integer(`${name}_PORT`, 5432, 1, 65_535),
    user: read.text(`${name}_USER`),
    password: read.secret(`${name}_PASSWORD`),
    database: read.text(`${name}_DATABASE`),
    poolSize: read.integer(`${name}_POOL_SIZE`, 10, 1, 1_000),
  };
}

function readKafka(read: Reader): KafkaSettings {
  const replicationFactor = read.integer('KAFKA_REPLICATION_FACTOR', 1, 1, 100);
  return {
    brokers: read.brokers('KAFKA_SERVER'),
    topic: read.matching('KAFKA_TOPIC', TOPIC_NAME, 'subscription-events', 'a Kafka topic name (letters, digits, . _ -, at most 249)'),
    partitions: read.integer('KAFKA_PARTITIONS', 6, 1, 10_000),
    replicationFactor,
    // One may be down without stopping the stream.
    minInsyncReplicas: read.integer('KAFKA_MIN_INSYNC_REPLICAS', Math.max(1, replicationFactor - 1), 1, replicationFactor),
    groupId: read.text('KAFKA_GROUP_ID', 'subscription-sync-replica'),
    // Brokers refuse less than 6 s unless told otherwise.
    sessionTimeoutMs: read.integer('KAFKA_SESSION_TIMEOUT_MS', 10_000, 6_000, 300_000),
  };
}

/** Slots are named cluster-wide, so two databases of one cluster need two names. */
function defaultSlot(database: string): string {
  return `subscription_sync_${database.toLowerCase().replace(/[^a-z0-9_]/g, '_')}`.slice(0, 63);
}

class Reader {
  readonly problems: string[] = [];

  constructor(private readonly environment: Environment) {}

  text(name: string, fallback?: string): string {
    const value = this.environment[name]?.trim();
    if (value) return value;
    if (fallback !== undefined) return fallback;
    this.problems.push(`${name} is required`);
    return '';
  }

  isSet(name: string): boolean {
    return Boolean(this.environment[name]?.trim());
  }

  secret(name: string): string {
    const value = this.environment[name];
    if (value === undefined) this.problems.push(`${name} is required (it may be empty)`);
    return value ?? '';
  }

  integer(name: string, fallback: number, min: number, max: number): number {
    const text = this.text(name, String(fallback));
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    this.problems.push(`${name} must be a whole number from ${min} to ${max}, but is "${text}"`);
    return fallback;
  }

  oneOf<T extends string>(name: string, allowed: readonly T[], fallback: T): T {
    const text = this.text(name, fallback);
    const value = allowed.find((candidate) => candidate === text);
    if (value !== undefined) return value;
    this.problems.push(`${name} must be one of ${allowed.join(', ')}, but is "${text}"`);
    return fallback;
  }

  matching(name: string, pattern: RegExp, fallback: string, rule: string): string {
    const text = this.text(name, fallback);
    if (!pattern.test(text)) this.problems.push(`${name} must be ${rule}, but is "${text}"`);
    return text;
  }

  list(name: string, allowed: readonly Role[], fallback: readonly Role[]): readonly Role[] {
    const words = this.words(name, fallback.join(','));
    const unknown = words.filter((word) => !(allowed as readonly string[]).includes(word));
    if (unknown.length === 0 && words.length > 0) return allowed.filter((role) => words.includes(role));
    this.problems.push(`${name} must list some of ${allowed.join(', ')}, but is "${this.environment[name] ?? ''}"`);
    return fallback;
  }

  brokers(name: string): readonly string[] {
    const brokers = this.words(name);
    const wrong = brokers.filter((broker) => !/^\S+:\d{1,5}$/.test(broker));
    if (wrong.length > 0) this.problems.push(`${name} must be host:port, comma-separated, but has "${wrong.join('", "')}"`);
    return brokers;
  }

  private words(name: string, fallback?: string): string[] {
    return this.text(name, fallback)
      .split(',')
      .map((word) => word.trim())
      .filter((word) => word !== '');
  }
}
