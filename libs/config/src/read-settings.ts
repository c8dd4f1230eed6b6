import { isIP } from 'node:net';
import { ConfigurationError, type Environment, Reader, secretText } from './environment.js';
import { isDatabaseSet, readDatabase } from './read-database.js';
import { readKafkaSecurity } from './read-kafka-security.js';
import { readTracing } from './read-tracing.js';
import { readTransitions } from './read-transitions.js';
import { isLoopback, isSafeUrl } from './safe-url.js';
import {
  type AccessSettings,
  type CaptureMode,
  type DatabaseSettings,
  type ColumnPair,
  type KafkaSettings,
  type MappingSettings,
  type OidcSettings,
  type Role,
  ROLES,
  type Settings,
  type SigningSettings,
  type TableSettings,
} from './settings.js';

const CAPTURE_MODES: readonly CaptureMode[] = ['auto', 'wal', 'poll'];
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];
/** Kafka's own rule for topic names. */
const TOPIC_NAME = /^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/;
const TRANSITIONS_FILE = 'STATUS_TRANSITIONS_FILE';
/** PostgreSQL's own rule for replication slot names. */
const SLOT_NAME = /^[a-z0-9_]{1,63}$/;

/**
 * Checks the whole environment and returns the settings.
 * @throws ConfigurationError that names every wrong or missing variable.
 */
export function readSettings(environment: Environment): Settings {
  const read = new Reader(environment);
  const roles = read.list('ROLES', ROLES, ROLES);
  const usesDb1 = roles.includes('api') || roles.includes('sync');
  const usesKafka = roles.includes('sync') || roles.includes('replica');
  const db1 = usesDb1 ? readDatabase(read, 'DB1') : undefined;
  const host = read.text('HOST', '127.0.0.1');
  const settings: Settings = {
    roles,
    host,
    port: read.integer('PORT', 3000, 0, 65_535),
    logLevel: read.oneOf('LOG_LEVEL', LOG_LEVELS, 'info'),
    tracing: readTracing(read),
    access: readAccess(read, host, roles),
    db1,
    db2: roles.includes('replica') || isDatabaseSet(read, 'DB2') ? readDatabase(read, 'DB2') : undefined,
    mapping: readMapping(read),
    kafka: usesKafka ? readKafka(read) : undefined,
    capture: {
      mode: read.oneOf('CAPTURE', CAPTURE_MODES, 'auto'),
      intervalMs: read.integer('SYNC_INTERVAL_MS', 50, 1, 3_600_000),
      slot: readSlot(read, db1),
    },
    shutdown: {
      delayMs: read.integer('SHUTDOWN_DELAY_MS', 1_000, 0, 600_000),
      timeoutMs: read.integer('SHUTDOWN_TIMEOUT_MS', 25_000, 1_000, 3_600_000),
    },
    stallTimeoutMs: read.integer('STALL_TIMEOUT_MS', 60_000, 1_000, 86_400_000),
    reconcile: {
      intervalS: read.integer('RECONCILE_INTERVAL', 900, 0, 31_536_000),
      repair: read.oneOf('RECONCILE_REPAIR', ['on', 'off'], 'on') === 'on',
      repairLimit: read.integer('RECONCILE_REPAIR_AT_MOST', 10_000, 0, 2_147_483_647),
      load: read.integer('RECONCILE_LOAD', 10, 1, 100),
    },
    canaryIntervalS: read.integer('CANARY_INTERVAL', 10, 0, 86_400),
    eventStreams: read.integer('EVENT_STREAMS', 200, 1, 100_000),
    logRetentionDays: read.integer('LOG_RETENTION_DAYS', 30, 1, 36_500),
    // The database keeps entries for 30 days whatever a process asks for (libs/schema, owner-functions).
    auditRetentionDays: read.integer('AUDIT_RETENTION_DAYS', 400, 30, 36_500),
  };
  if (read.problems.length > 0) throw new ConfigurationError(read.problems);
  return settings;
}

/**
 * Returns the settings of a command that works on DB1 alone and serves no requests. Settings of the listener, of access, of DB2, of status
 * transitions and of tracing are ignored.
 * @throws ConfigurationError that names every wrong or missing variable.
 */
export function readCommandSettings(environment: Environment): CommandSettings {
  const ignored = {
    ROLES: 'api',
    HOST: '127.0.0.1',
    ACCESS: 'required',
    DB2_HOST: '',
    DB2_URL: '',
    DB2_URL_FILE: '',
    OTEL_SDK_DISABLED: 'true',
    [TRANSITIONS_FILE]: '',
  };
  const { db1, capture, mapping } = readSettings({ ...environment, ...ignored });
  return { db1: db1!, table: mapping.db1, slot: capture.slot };
}

interface CommandSettings {
  readonly db1: DatabaseSettings;
  readonly table: TableSettings;
  readonly slot: string;
}

/**
 * Returns the settings of the command that removes the service from both databases. A database that is not set is undefined.
 * @throws ConfigurationError that names every wrong or missing variable.
 */
export function readRemovalSettings(environment: Environment): Pick<Settings, 'db1' | 'db2'> & { readonly slot: string } {
  const read = new Reader(environment);
  const { db1, db2 } = readDatabases(read);
  const slot = readSlot(read, db1);
  if (read.problems.length > 0) throw new ConfigurationError(read.problems);
  return { db1, db2, slot };
}

/**
 * Returns the settings of the command that brings the databases to this release. A database that is not set is undefined.
 * @throws ConfigurationError that names every wrong or missing variable.
 */
export function readMigrationSettings(environment: Environment): Pick<Settings, 'db1' | 'db2' | 'mapping'> {
  const read = new Reader(environment);
  const settings = { ...readDatabases(read), mapping: readMapping(read) };
  if (read.problems.length > 0) throw new ConfigurationError(read.problems);
  return settings;
}

/** Returns the settings of the databases that are set, one at least. */
function readDatabases(read: Reader): Pick<Settings, 'db1' | 'db2'> {
  const db1 = isDatabaseSet(read, 'DB1') ? readDatabase(read, 'DB1') : undefined;
  const db2 = isDatabaseSet(read, 'DB2') ? readDatabase(read, 'DB2') : undefined;
  if (!db1 && !db2) read.problems.push('DB1_HOST or DB1_URL, and DB2_HOST or DB2_URL, are required');
  return { db1, db2 };
}

function readSlot(read: Reader, db1: DatabaseSettings | undefined): string {
  return read.matching('CAPTURE_SLOT', SLOT_NAME, defaultSlot(db1?.database ?? ''), 'up to 63 of a-z, 0-9 and _');
}

/** The table that the service creates where there is none. */
export const DEFAULT_TABLE: TableSettings = { schema: undefined, name: 'subscriptions', key: 'email', status: 'status' };

/** The tables that the service creates, with all columns that they have in common. */
export const DEFAULT_MAPPING: MappingSettings = {
  db1: DEFAULT_TABLE,
  db2: DEFAULT_TABLE,
  columns: undefined,
  statuses: undefined,
  transitionsFile: undefined,
};

function readMapping(read: Reader): MappingSettings {
  const columns = read.words('COLUMNS', '').map((word) => columnPair(read, word));
  const statuses = read.words('STATUSES', '');
  const file = read.text(TRANSITIONS_FILE, '');
  return {
    db1: readTable(read, 'DB1'),
    db2: readTable(read, 'DB2'),
    columns: columns.length > 0 ? columns : undefined,
    statuses: statuses.length > 0 ? statuses : undefined,
    transitionsFile: file === '' ? undefined : readTransitions(TRANSITIONS_FILE, file, read.problems),
  };
}

function readTable(read: Reader, name: 'DB1' | 'DB2'): TableSettings {
  const text = read.text(`${name}_TABLE`, DEFAULT_TABLE.name);
  const parts = text.split('.');
  const [table, schema] = [parts.at(-1)!, parts.length > 1 ? parts[0] : undefined];
  if (parts.length > 2 || parts.includes('')) read.problems.push(`${name}_TABLE must be a table or schema.table, but is "${text}"`);
  return {
    schema,
    name: table,
    key: read.text(`${name}_KEY_COLUMN`, DEFAULT_TABLE.key),
    status: read.text(`${name}_STATUS_COLUMN`, DEFAULT_TABLE.status),
  };
}

function columnPair(read: Reader, word: string): ColumnPair {
  const [db1, db2 = db1, ...more] = word.split(':').map((name) => name.trim());
  if (!db1 || !db2 || more.length > 0) {
    read.problems.push(`COLUMNS must list columns as name or db1name:db2name, comma-separated, but has "${word}"`);
  }
  return { db1: db1!, db2: db2! };
}

function readKafka(read: Reader): KafkaSettings {
  const replicationFactor = read.integer('KAFKA_REPLICATION_FACTOR', 1, 1, 100);
  return {
    brokers: read.brokers('KAFKA_SERVER'),
    security: readKafkaSecurity(read),
    signing: readSigning(read),
    topic: read.matching('KAFKA_TOPIC', TOPIC_NAME, 'subscription-events', 'a Kafka topic name (letters, digits, . _ -, at most 249)'),
    partitions: read.integer('KAFKA_PARTITIONS', 6, 1, 10_000),
    replicationFactor,
    // One replica may be down without stopping the stream.
    minInsyncReplicas: read.integer('KAFKA_MIN_INSYNC_REPLICAS', Math.max(1, replicationFactor - 1), 1, replicationFactor),
    groupId: read.text('KAFKA_GROUP_ID', 'subscription-sync-replica'),
    // By default, brokers refuse less than 6 s.
    sessionTimeoutMs: read.integer('KAFKA_SESSION_TIMEOUT_MS', 10_000, 6_000, 300_000),
  };
}

/** A key shorter than the hash's output makes an HMAC weaker (RFC 2104, section 3). */
const SHORTEST_SIGNING_KEY = 32;

function readSigning(read: Reader): SigningSettings | undefined {
  const required = read.oneOf('EVENT_SIGNATURES', ['required', 'optional'], 'required') === 'required';
  const [current, previous] = ['EVENT_SIGNING_KEY', 'EVENT_SIGNING_PREVIOUS_KEY'].map((name) => {
    if (!read.isSet(name) && !read.isSet(`${name}_FILE`)) return undefined;
    const problems = read.problems.length;
    const secret = read.secret(name);
    if (read.problems.length > problems) return undefined;
    const text = secretText(secret);
    if (Buffer.byteLength(text) < SHORTEST_SIGNING_KEY) {
      read.problems.push(`${name} must have at least ${SHORTEST_SIGNING_KEY} bytes. Make one: openssl rand -base64 32`);
    }
    return text;
  });
  if (current === undefined) {
    if (previous !== undefined) read.problems.push('EVENT_SIGNING_PREVIOUS_KEY is only used with EVENT_SIGNING_KEY');
    return undefined;
  }
  return { secrets: previous === undefined ? [current] : [current, previous], required };
}

/** Returns a name that contains the database's: slot names are unique in a cluster, so its databases need different ones. */
function defaultSlot(database: string): string {
  return `subscription_sync_${database.toLowerCase().replace(/[^a-z0-9_]/g, '_')}`.slice(0, 63);
}

const MODES: readonly AccessSettings['mode'][] = ['open', 'required'];
const MAX_REQUESTS = 1_000_000_000;

/**
 * Reads the access settings. `open` is for loopback only. On other interfaces the api role must be configured to authenticate its callers;
 * the other roles, which serve health and metrics on any interface, refuse requests without a credential.
 */
function readAccess(read: Reader, host: string, roles: readonly Role[]): AccessSettings {
  const oidc = readOidc(read);
  const fallback = oidc || (!isLoopback(host) && !roles.includes('api')) ? 'required' : 'open';
  const mode = read.oneOf('ACCESS', MODES, fallback);
  if (mode === 'open' && !isLoopback(host)) {
    read.problems.push(
      `HOST is "${host}", where others can reach the API, and access to it is not configured. Set ACCESS=required ` +
        '(API keys, created with `npx subscription-sync keys create`) or OIDC_ISSUER; or leave HOST at 127.0.0.1',
    );
  }
  return {
    mode,
    oidc,
    limits: {
      perKey: read.integer('RATE_LIMIT_PER_KEY', 60_000, 0, MAX_REQUESTS),
      perAddress: read.integer('RATE_LIMIT_PER_ADDRESS', 120_000, 0, MAX_REQUESTS),
      failuresPerAddress: read.integer('AUTH_FAILURES_PER_ADDRESS', 30, 0, MAX_REQUESTS),
    },
    trustedProxies: read.each('TRUSTED_PROXIES', isAddressOrBlock, 'addresses or CIDR blocks'),
    corsOrigins: read.each('CORS_ORIGINS', isOrigin, 'origins such as https://app.example.com'),
  };
}

/** Reads all OIDC variables, so that every problem is reported. Returns undefined without an issuer. */
function readOidc(read: Reader): OidcSettings | undefined {
  const url = (name: string): string => {
    const text = read.text(name, '');
    if (text !== '' && !isSafeUrl(text)) read.problems.push(`${name} must be an https URL (http only on this machine), but is "${text}"`);
    return text;
  };
  const issuer = url('OIDC_ISSUER');
  const jwksUri = url('OIDC_JWKS_URI');
  const audience = read.text('OIDC_AUDIENCE', '');
  const scopesClaim = read.text('OIDC_SCOPES_CLAIM', 'scope');
  const maxTokenAgeS = read.integer('OIDC_MAX_TOKEN_AGE', 86_400, 1, 31_536_000);
  if (issuer === '') return undefined;
  if (audience === '') read.problems.push('OIDC_AUDIENCE is required with OIDC_ISSUER: tokens for other services must not be accepted');
  return { issuer, audience, jwksUri: jwksUri === '' ? undefined : jwksUri, scopesClaim, maxTokenAgeS };
}

function isAddressOrBlock(text: string): boolean {
  const [address, bits, ...rest] = text.split('/');
  const version = isIP(address!);
  if (version === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
}

function isOrigin(text: string): boolean {
  return /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}
