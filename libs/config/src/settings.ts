export const ROLES = ['api', 'sync', 'replica'] as const;
export type Role = (typeof ROLES)[number];

export type CaptureMode = 'auto' | 'wal' | 'poll';

/** A password or a key, or how to read it from its file. It is read for each new connection: one that was rotated is taken without a restart. */
export type Secret = string | (() => string);

/** The values of libpq's `sslmode` that are supported. */
export const SSL_MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof SSL_MODES)[number];

/** The values of libpq's `channel_binding`. */
export const CHANNEL_BINDINGS = ['disable', 'prefer', 'require'] as const;
type ChannelBinding = (typeof CHANNEL_BINDINGS)[number];

/** TLS of a database's connections. Files are PEM; they are read for each connection, and throw an error that names the variable. */
export interface TlsSettings {
  readonly mode: Exclude<SslMode, 'disable'>;
  /** The CAs' certificates, or `system` for those that Node knows. If undefined, the server's certificate is not verified. */
  readonly rootCertificate: (() => string) | 'system' | undefined;
  /** The client's certificate. */
  readonly certificate: (() => string) | undefined;
  /** Its key. */
  readonly key: (() => string) | undefined;
  /** Whether the password is proved for this TLS channel only, so that nobody in between can use the proof. */
  readonly channelBinding: ChannelBinding;
  /** Prefix of the variables, for messages. */
  readonly variables: 'DB1' | 'DB2';
}

export interface DatabaseSettings {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: Secret;
  readonly database: string;
  /** Maximum number of connections in the pool. */
  readonly poolSize: number;
  /** If undefined, connections are not encrypted. */
  readonly tls?: TlsSettings | undefined;
  /** How to reach DB1 for sessions that no pooler can lend. If undefined, the other settings lead to the database itself. */
  readonly direct?: DatabaseSettings | undefined;
}

/** The table of the subscriptions in a database. Names are as in the catalogs, without quotes. */
export interface TableSettings {
  /** If undefined, the table is found by the role's search_path. */
  readonly schema: string | undefined;
  readonly name: string;
  /** The column of the email. */
  readonly key: string;
  readonly status: string;
}

/** A column of DB1 and the one of DB2 into which it is replicated. */
export interface ColumnPair {
  readonly db1: string;
  readonly db2: string;
}

/** The statuses that may follow each status: in general, and in addition with an explicit reactivation. */
export type StatusTransitions = Readonly<Record<string, { readonly next: readonly string[]; readonly reactivated: readonly string[] }>>;

/** Status transitions of the users' own, and the file that has them. */
export interface TransitionsFile {
  readonly file: string;
  readonly transitions: StatusTransitions;
}

/** The users' own tables, and what is replicated from one to the other. */
export interface MappingSettings {
  readonly db1: TableSettings;
  readonly db2: TableSettings;
  /** The replicated columns besides the email and the status. If undefined, all columns that both tables have under the same name. */
  readonly columns: readonly ColumnPair[] | undefined;
  /** The statuses that the API accepts. Those of the column's enum type take their place; if undefined, the built-in ones are accepted. */
  readonly statuses: readonly string[] | undefined;
  /** If undefined, the built-in statuses have the built-in transitions, and any may follow any of others. */
  readonly transitionsFile: TransitionsFile | undefined;
}

export const KAFKA_SECURITY_PROTOCOLS = ['PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL'] as const;
const PASSWORD_MECHANISMS = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const;
export const SASL_MECHANISMS = [...PASSWORD_MECHANISMS, 'OAUTHBEARER', 'AWS_MSK_IAM'] as const;

/** Reads a file in PEM format. It is read for each new connection: a certificate that was renewed is taken without a restart. */
type PemFile = () => string;

export interface KafkaTls {
  /** The CA of the brokers' certificates. If undefined, those that Node.js knows. */
  readonly ca: PemFile | undefined;
  readonly certificate: { readonly cert: PemFile; readonly key: PemFile } | undefined;
}

export type KafkaSasl =
  | { readonly mechanism: (typeof PASSWORD_MECHANISMS)[number]; readonly username: string; readonly password: Secret }
  | {
      readonly mechanism: 'OAUTHBEARER';
      /** The endpoint that gives tokens for the client's credentials. */
      readonly tokenUrl: string;
      readonly clientId: string;
      readonly clientSecret: Secret;
      readonly scope: string | undefined;
    }
  | {
      readonly mechanism: 'AWS_MSK_IAM';
      /** The region of the cluster. */
      readonly region: string;
      /** The profile of the shared files whose credentials are used. If undefined, those of AWS's default provider chain. */
      readonly profile: string | undefined;
      /** The role that is assumed with these credentials. If undefined, they are used themselves. */
      readonly roleArn: string | undefined;
    };

export interface KafkaSecurity {
  readonly protocol: (typeof KAFKA_SECURITY_PROTOCOLS)[number];
  /** Defined with SSL and SASL_SSL. */
  readonly tls: KafkaTls | undefined;
  /** Defined with SASL_PLAINTEXT and SASL_SSL. */
  readonly sasl: KafkaSasl | undefined;
}

/** Signatures of the records (libs/events, event-signature). */
export interface SigningSettings {
  /** The first one signs; each is accepted. */
  readonly secrets: readonly string[];
  /** Whether the replica refuses records without a signature. */
  readonly required: boolean;
}

export interface KafkaSettings {
  /** At least one `host:port`. */
  readonly brokers: readonly string[];
  readonly security: KafkaSecurity;
  /** If undefined, records are neither signed nor checked. */
  readonly signing: SigningSettings | undefined;
  readonly topic: string;
  /** Number of partitions of a topic that the service creates. Events of one email stay in order only while the number does not change. */
  readonly partitions: number;
  readonly replicationFactor: number;
  /** Number of replicas that must have a change before it counts as published, in a topic that the service creates. */
  readonly minInsyncReplicas: number;
  /** Consumer group of the replica role. */
  readonly groupId: string;
  /** Time (ms) without a heartbeat after which the group gives a member's partitions to another one. */
  readonly sessionTimeoutMs: number;
}

export interface OidcSettings {
  /** Exactly the value of the tokens' claim `iss`. */
  readonly issuer: string;
  readonly audience: string;
  /** URL of the issuer's public keys. If undefined, the issuer's discovery document names it. */
  readonly jwksUri: string | undefined;
  /** Name of the claim that lists the scopes, either as text separated by spaces or as an array. */
  readonly scopesClaim: string;
  /** Maximum age (s) of a token by its claim `iat`, even if it expires later. */
  readonly maxTokenAgeS: number;
}

export interface AccessSettings {
  /** `open` allows every request, and is possible on loopback only. */
  readonly mode: 'open' | 'required';
  readonly oidc: OidcSettings | undefined;
  /** Maximum requests per minute over all instances, 0 for no limit. Failures are failed authentications. */
  readonly limits: { readonly perKey: number; readonly perAddress: number; readonly failuresPerAddress: number };
  /** Addresses or CIDR blocks of proxies whose X-Forwarded-For is trusted. */
  readonly trustedProxies: readonly string[];
  /** Origins whose scripts may call the API from a browser. */
  readonly corsOrigins: readonly string[];
}

export const TRACE_PROTOCOLS = ['http/protobuf', 'http/json'] as const;

/** The export of traces by OTLP. OpenTelemetry's SDK reads its other variables from the process's environment. */
export interface TracingSettings {
  readonly protocol: (typeof TRACE_PROTOCOLS)[number];
  /** Headers of the exports: `name=value`, comma-separated, percent-encoded. */
  readonly headers: string | undefined;
  readonly serviceName: string;
}

/** The configuration of the process, parsed and checked once at start. Parts that no role uses are undefined. */
export interface Settings {
  readonly roles: readonly Role[];
  readonly host: string;
  readonly port: number;
  readonly logLevel: string;
  /** If undefined, the process makes no spans. */
  readonly tracing: TracingSettings | undefined;
  readonly access: AccessSettings;
  /** DB1, if the roles include api or sync. */
  readonly db1: DatabaseSettings | undefined;
  /** DB2, if the roles include replica or if it is configured: sync then compares both databases, and api reports what has arrived. */
  readonly db2: DatabaseSettings | undefined;
  readonly mapping: MappingSettings;
  /** Kafka, if the roles include sync or replica. */
  readonly kafka: KafkaSettings | undefined;
  readonly capture: {
    readonly mode: CaptureMode;
    /** Minimum pause (ms) between two polls of the log in `poll` mode. */
    readonly intervalMs: number;
    /** Name of the replication slot of `wal` mode, which is unique in the whole PostgreSQL cluster. */
    readonly slot: string;
  };
  readonly shutdown: {
    /** Time (ms) from reporting that the process is not ready until the listener is closed. */
    readonly delayMs: number;
    /** Maximum time (ms) from the signal to the end of the process, even if work is unfinished. */
    readonly timeoutMs: number;
  };
  /** Time (ms) for which a part of the process may be behind without progress before it is restarted. */
  readonly stallTimeoutMs: number;
  readonly reconcile: {
    /** Interval (s) between the starts of two scheduled runs that compare both databases. 0: only continuity gaps start a run. */
    readonly intervalS: number;
    /** Whether a scheduled run repairs differences. */
    readonly repair: boolean;
    /** Maximum number of rows that a scheduled run repairs. */
    readonly repairLimit: number;
    /** Percentage of the time in which a scheduled run works. */
    readonly load: number;
  };
  /** Interval (s) between two canaries, the records that measure the delay of the whole pipeline. 0: none. */
  readonly canaryIntervalS: number;
  /** Maximum number of event streams that this process serves at the same time. */
  readonly eventStreams: number;
  /** Retention (days) of the change log. */
  readonly logRetentionDays: number;
  /** Retention (days) of the audit log. */
  readonly auditRetentionDays: number;
}
