import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { type Environment, readSettings } from '#config';
import { makePlan } from '../../apps/standalone/src/plan.js';

const text = readFileSync('.env.example', 'utf8');
/** The variables of the file, with everything uncommented. */
const variables = parseEnv(text.replaceAll(/^#(?=[A-Z0-9_]+=)/gm, ''));
/** The variables that are used together: a URL takes the place of others, and a file with a secret that of the variable. */
const example = Object.fromEntries(
  Object.entries(variables).filter(([name]) => !/_(URL|FILE)$/.test(name) || name === 'STATUS_TRANSITIONS_FILE'),
);

/** Names of the variables that are read from an environment. */
function namesReadBy(read: (environment: Environment) => unknown, environment: Environment): string[] {
  const names = new Set<string>();
  read(
    new Proxy(environment, {
      get: (target, name) => {
        names.add(String(name));
        return target[String(name)];
      },
    }),
  );
  return [...names];
}

describe('.env.example', () => {
  test('names exactly the variables that are read', () => {
    const names = new Set([...namesReadBy(readSettings, example), ...namesReadBy(makePlan, {})]);
    expect(Object.keys(variables).sort()).toEqual([...names].sort());
  });

  test('shows the defaults', () => {
    const required = ['HOST', 'USER', 'PASSWORD', 'DATABASE'].flatMap((part) => [`DB1_${part}`, `DB2_${part}`]);
    const least = Object.fromEntries([...required, 'KAFKA_SERVER'].map((name) => [name, example[name]]));
    expect(readSettings(example)).toEqual(readSettings(least));
    expect(makePlan(example)).toEqual(makePlan(least));
  });

  test('changes nothing when it is copied unchanged', () => {
    expect(makePlan(parseEnv(text))).toEqual(makePlan({}));
  });
});

describe('docker/compose.yaml', () => {
  interface Service {
    readonly command?: string[];
    readonly environment: Record<string, string>;
    readonly ports: string[];
    /** A service of a profile is started on request only. */
    readonly profiles?: string[];
  }
  const { services } = parse(readFileSync('docker/compose.yaml', 'utf8')) as { services: Record<string, Service> };

  test('starts the service with valid settings, which name the other three services', () => {
    const settings = readSettings(services['service']!.environment);
    const { POSTGRES_DB, POSTGRES_USER, POSTGRES_PASSWORD } = services['db1']!.environment;
    expect(settings.db1).toMatchObject({
      host: 'db1',
      port: 5_432,
      database: POSTGRES_DB,
      user: POSTGRES_USER,
      password: POSTGRES_PASSWORD,
    });
    expect(settings.db2).toMatchObject({ host: 'db2', port: 5_432, database: services['db2']!.environment['POSTGRES_DB'] });
    const [broker] = settings.kafka!.brokers;
    expect(services['kafka']!.environment['KAFKA_ADVERTISED_LISTENERS']!.split(',')).toContain(`INSIDE://${broker}`);
    expect(Object.keys(services['service']!.environment).filter((name) => !(name in example))).toEqual(['NODE_OPTIONS']);
  });

  test('publishes the same ports as npm start, and on this machine only', () => {
    const { settings, databases, kafka } = makePlan({});
    const started = Object.values(services).filter(({ profiles }) => profiles === undefined);
    const published = Object.values(services).flatMap((service) => service.ports);
    const ports = started.flatMap((service) => service.ports.map((port) => port.split(':').slice(0, 2).join(':')));
    expect(ports.sort()).toEqual(
      [settings.port, ...databases.map(({ port }) => port), kafka!.port].map((port) => `127.0.0.1:${port}`).sort(),
    );
    expect(published.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
  });

  test('configures Database 1 for capture by wal', () => {
    expect(services['db1']!.command).toContain('wal_level=logical');
  });
});

test('the image uses a version of Node that package.json allows', () => {
  const [, major] = /^FROM node:(\d+)/m.exec(readFileSync('docker/Dockerfile', 'utf8'))!;
  expect(Number(major) % 2).toBe(0);
  expect(Number(major)).toBeGreaterThanOrEqual(20);
});
