import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { ConfigurationError, type DatabaseSettings, type Environment, isDatabaseSet, Reader, readSettings, type Settings } from '#config';
import { StandaloneError } from './child-process.js';

interface NamedDatabase extends Omit<DatabaseSettings, 'poolSize'> {
  readonly name: 'DB1' | 'DB2';
}

/** A database that is started here. */
export interface EmbeddedDatabase extends NamedDatabase {
  readonly embedded: true;
  readonly password: string;
}

/** A database that runs elsewhere already. */
export interface ExternalDatabase extends NamedDatabase {
  readonly embedded: false;
}

export type DatabasePlan = EmbeddedDatabase | ExternalDatabase;

interface KafkaPlan {
  readonly embedded: boolean;
  readonly brokers: readonly string[];
  readonly port: number;
}

/** The databases and the Kafka to use. Those that run elsewhere and that no role uses are left out. */
export interface Plan {
  readonly settings: Settings;
  readonly dataDir: string;
  readonly databases: readonly DatabasePlan[];
  readonly kafka: KafkaPlan | undefined;
}

const DATABASES = [
  { name: 'DB1', port: 54_321, database: 'db1' },
  { name: 'DB2', port: 54_322, database: 'db2' },
] as const;
const KAFKA_PORT = 19_092;

/**
 * Decides from the environment which servers to embed, and with which settings to start the service. Servers whose host is not set are
 * embedded, whatever the roles, so that other processes may use them.
 * @throws ConfigurationError naming every invalid or missing variable at once.
 */
export function makePlan(environment: Environment): Plan {
  const problems: string[] = [];
  const read = (name: string): string | undefined => environment[name]?.trim() || undefined;
  const readPort = (name: string, fallback: number): number => {
    const text = read(name) ?? String(fallback);
    const port = /^\d+$/.test(text) ? Number(text) : 0;
    if (port < 1 || port > 65_535) problems.push(`${name} must be a whole number from 1 to 65535, but is "${text}"`);
    return port;
  };

  const embedded = DATABASES.filter(({ name }) => !isDatabaseSet(new Reader(environment), name)).map(
    ({ name, port, database }): EmbeddedDatabase => ({
      name,
      embedded: true,
      host: '127.0.0.1',
      port: readPort(`${name}_PORT`, port),
      user: read(`${name}_USER`) ?? 'postgres',
      password: read(`${name}_PASSWORD`) ?? 'postgres',
      database: read(`${name}_DATABASE`) ?? database,
    }),
  );
  const embeddedKafka = read('KAFKA_SERVER') ? undefined : { embedded: true, port: readPort('STANDALONE_KAFKA_PORT', KAFKA_PORT) };

  const serverEnvironment = { ...environment };
  for (const { name, host, port, user, password, database } of embedded) {
    const variables = { HOST: host, PORT: String(port), USER: user, PASSWORD: password, DATABASE: database };
    for (const [key, value] of Object.entries(variables)) serverEnvironment[`${name}_${key}`] = value;
  }
  if (embeddedKafka) serverEnvironment.KAFKA_SERVER = `127.0.0.1:${embeddedKafka.port}`;
  const protocol = read('KAFKA_SECURITY_PROTOCOL') ?? 'PLAINTEXT';
  if (embeddedKafka && protocol !== 'PLAINTEXT') {
    problems.push(
      `KAFKA_SECURITY_PROTOCOL is ${protocol}, but the embedded Kafka uses neither TLS nor SASL. Set KAFKA_SERVER to yours, or remove KAFKA_SECURITY_PROTOCOL`,
    );
  }

  const settings = collect(problems, () => readSettings(serverEnvironment));
  const ports = new Map<number, string>();
  for (const [name, port] of [
    ['PORT', settings?.port ?? 0],
    ...embedded.map((database) => [`${database.name}_PORT`, database.port] as const),
    ['STANDALONE_KAFKA_PORT', embeddedKafka?.port ?? 0],
  ] as const) {
    if (port > 0 && ports.has(port)) problems.push(`${ports.get(port)} and ${name} must differ, but both are ${port}`);
    ports.set(port, name);
  }
  if (!settings || problems.length > 0) throw new ConfigurationError([...new Set(problems)]);

  const external = (
    [
      ['DB1', settings.db1],
      ['DB2', settings.db2],
    ] as const
  ).flatMap(([name, database]): DatabasePlan[] =>
    database && !embedded.some((plan) => plan.name === name) ? [{ name, embedded: false, ...database }] : [],
  );
  return {
    settings,
    dataDir: resolve(read('STANDALONE_DATA_DIR') ?? '.data'),
    databases: [...embedded, ...external].sort((a, b) => a.name.localeCompare(b.name)),
    kafka: embeddedKafka
      ? { ...embeddedKafka, brokers: [`127.0.0.1:${embeddedKafka.port}`] }
      : settings.kafka && { embedded: false, port: 0, brokers: settings.kafka.brokers },
  };
}

function collect<T>(problems: string[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}

/** Range of free ports. It is below every system's range for outgoing connections, so that none of those takes a port between the check and its use. */
const PORTS = { first: 20_000, count: 12_000 } as const;
/** Each process begins at another place. The golden section of the range keeps processes whose ids are close far apart. */
let picked = (process.pid * 7_417) % PORTS.count;

/** Returns whether this user could listen on the port now. Port 80 is not free for an ordinary user. */
async function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/**
 * Returns a free port that is not one of `reserved`, which are not in use yet, and that was not returned before: a server may not listen yet, or
 * start again with the same port.
 */
export async function pickFreePort(reserved: readonly (number | undefined)[] = []): Promise<number> {
  for (;;) {
    const port = PORTS.first + (picked++ % PORTS.count);
    if (!reserved.includes(port) && (await isPortFree(port))) return port;
  }
}

/**
 * Returns the port itself, or a free one for 0. `server` and `variable` are the names of the server and of its port's variable in the error.
 * @throws StandaloneError when another program listens on the port.
 */
export async function claimPort(port: number, server: string, variable: string, host = '127.0.0.1'): Promise<number> {
  if (port === 0) return pickFreePort();
  if (await isPortFree(port, host)) return port;
  throw new StandaloneError(
    `${server} needs port ${port}, but it is in use: stop the program that listens there, or set ${variable} to another port.`,
  );
}
