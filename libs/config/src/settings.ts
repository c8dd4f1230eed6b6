export const ROLES = ['api', 'sync', 'replica'] as const;
export type Role = (typeof ROLES)[number];

export type CaptureMode = 'auto' | 'wal' | 'poll';

export interface DatabaseSettings {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** Connections in the pool. */
  readonly poolSize: number;
}

export interface KafkaSettings {
  /** `host:port`, at least one. */
  readonly brokers: readonly string[];
  readonly topic: string;
  /** Used when the topic is created. Events of one email stay in order only while the count is fixed. */
  readonly partitions: number;
  readonly replicationFactor: number;
  /** Replicas that must have a change before it counts as published, when the topic is created here. */
  readonly minInsyncReplicas: number;
  /** Consumer group of the replica role. */
  readonly groupId: string;
  /** After so long without a heartbeat the group gives a replica's partitions to another one, ms. */
  readonly sessionTimeoutMs: number;
}

export interface OidcSettings {
  /** As the tokens' `iss` has it, to the letter. */
  readonly issuer: string;
  readonly audience: string;
  /** Where its public keys are. Undefined: the issuer's discovery document says. */
  readonly jwksUri: string | undefined;
  /** The claim that lists the scopes: text with spaces between, or a list. */
  readonly scopesClaim: string;
}

export interface AccessSettings {
  /** `open`: everybody may do everything; on loopback only. */
  readonly mode: 'open' | 'required';
  readonly oidc: OidcSettings | undefined;
  /** Requests a minute over all instances, 0 for no limit. Failures are failed authentications. */
  readonly limits: { readonly perKey: number; readonly perAddress: number; readonly failuresPerAddress: number };
  /** Whose X-Forwarded-For is believed: addresses or CIDR blocks. */
  readonly trustedProxies: readonly string[];
  /** Origins whose scripts may call from a browser. */
  readonly corsOrigins: readonly string[];
}

/** What the process was asked to do, parsed and checked once at start. Parts a role does not use are undefined. */
export interface Settings {
  readonly roles: readonly Role[];
  readonly host: string;
  readonly port: number;
  readonly logLevel: string;
  readonly access: AccessSettings;
  /** DB1, when the role is api or sync. */
  readonly db1: DatabaseSettings | undefined;
  /** DB2, when the role is replica; else when it is configured: sync then compares both databases, api tells what has arrived. */
  readonly db2: DatabaseSettings | undefined;
  /** Kafka, when the role is sync or replica. */
  readonly kafka: KafkaSettings | undefined;
  readonly capture: {
    readonly mode: CaptureMode;
    /** Shortest pause between two looks at the log in `poll` mode, ms. */
    readonly intervalMs: number;
    /** Replication slot of `wal` mode: unique in the whole PostgreSQL cluster. */
    readonly slot: string;
  };
  readonly shutdown: {
    /** From the failing of readiness to the closing of the listener, ms. */
    readonly delayMs: number;
    /** From the signal to the end of the process, whatever is unfinished, ms. */
    readonly timeoutMs: number;
  };
  /** How long a part of the process may be behind and get nothing done before it is restarted, ms. */
  readonly stallTimeoutMs: number;
  readonly reconcile: {
    /** From the beginning of one comparison of both databases to that of the next, s. 0: none but where the chain was broken. */
    readonly intervalS: number;
    /** Whether a scheduled comparison repairs what differs. */
    readonly repair: boolean;
    /** Rows that a scheduled comparison repairs at most. */
    readonly repairAtMost: number;
    /** Percent of the time in which a scheduled comparison works. */
    readonly load: number;
  };
  /** From one record that measures the whole way to the next, s. 0: none. */
  readonly canaryIntervalS: number;
  /** Streams of events that this process serves at once, at most. */
  readonly eventStreams: number;
  /** How long the change log is kept, days. */
  readonly logRetentionDays: number;
}
