import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { ConfigurationError, type DatabaseSettings, type Environment, readSettings, type Settings } from '#config';
import { StandaloneError } from './child-process.js';

export interface DatabasePlan extends Omit<DatabaseSettings, 'poolSize'> {
  readonly name: 'DB1' | 'DB2';
  /** Started here; else it runs elsewhere already. */
  readonly embedded: boolean;
}

interface KafkaPlan {
  readonly embedded: boolean;
  readonly brokers: readonly string[];
  readonly port: number;
}

/** What is to run where. Parts that run elsewhere and that no role uses are left out. */
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
 * Decides from the environment which parts to embed (those whose host is not set, whatever the roles, so that other processes may use them) and with what settings to start the service.
 * @throws ConfigurationError naming every wrong or missing variable at once.
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

  const embedded = DATABASES.filter(({ name }) => !read(`${name}_HOST`)).map(({ name, port, database }): DatabasePlan => ({
    name,
    embedded: true,
    host: '127.0.0.1',
    port: readPort(`${name}_PORT`, port),
    user: read(`${name}_USER`) ?? 'postgres',
    password: read(`${name}_PASSWORD`) ?? 'postgres',
    database: read(`${name}_DATABASE`) ?? database,
  }));
  const embeddedKafka = read('KAFKA_SERVER') ? undefined : { embedded: true, port: readPort('STANDALONE_KAFKA_PORT', KAFKA_PORT) };

  const serverEnvironment = { ...environment };
  for (const { name, host, port, user, password, database } of embedded) {
    const variables = { HOST: host, PORT: String(port), USER: user, PASSWORD: password, DATABASE: database };
    for (const [key, value] of Object.entries(variables)) serverEnvironment[`${name}_${key}`] = value;
  }
  if (embeddedKafka) serverEnvironment.KAFKA_SERVER = `127.0.0.1:${embeddedKafka.port}`;

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

/** Below every system's range for outgoing connections, so that none of those takes the port between our look and its use. */
const FIRST_PORT = 20_000;
const LAST_PORT = 32_000;

/** Whether something could listen there now. Privileges count: port 80 isn't free to an ordinary user. */
async function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** None of `others`, which are to be used, and are not yet. */
export async function pickFreePort(others: readonly (number | undefined)[] = []): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));
    if (!others.includes(port) && (await isPortFree(port))) return port;
  }
}

/**
 * The port itself, or a free one for 0.
 * @throws StandaloneError when something else listens there. `part` and `variable` name the part and what moves it.
 */
export async function claimPort(port: number, part: string, variable: string, host = '127.0.0.1'): Promise<number> {
  if (port === 0) return pickFreePort();
  if (await isPortFree(port, host)) return port;
  throw new StandaloneError(`${part} needs port ${port}, but it is taken: stop what listens there, or set ${variable} to another port.`);
}
