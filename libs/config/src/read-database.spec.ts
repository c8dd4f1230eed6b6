import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { temporaryFolder } from '../../../test/harness/temporary-folder.js';
import { ConfigurationError, type Environment, Reader } from './environment.js';
import { readDatabase } from './read-database.js';
import type { DatabaseSettings } from './settings.js';

const folder = temporaryFolder('subscription-sync-url-');
afterAll(() => rmSync(folder, { recursive: true }));

function read(environment: Environment): { settings: DatabaseSettings; problems: string[] } {
  const reader = new Reader(environment);
  return { settings: readDatabase(reader, 'DB1'), problems: reader.problems };
}

test('a URL has all settings, also with escaped characters and an IPv6 address', () => {
  const { settings, problems } = read({ DB1_URL: 'postgresql://us%40er:p%2Fw%3A@[::1]:6543/my%20db?sslmode=disable' });
  expect(problems).toEqual([]);
  expect(settings).toEqual({ host: '::1', port: 6_543, user: 'us@er', password: 'p/w:', database: 'my db', poolSize: 10, tls: undefined });
});

test('what a URL leaves out comes from the variables', () => {
  const { settings, problems } = read({
    DB1_URL: 'postgres://db.example.com/app',
    DB1_USER: 'u',
    DB1_PASSWORD: 'p',
    DB1_SSLMODE: 'require',
  });
  expect(problems).toEqual([]);
  expect(settings).toMatchObject({ host: 'db.example.com', port: 5_432, user: 'u', password: 'p', tls: { mode: 'require' } });
});

test('the password of a URL in a file is read for each connection', () => {
  const file = join(folder, 'url');
  writeFileSync(file, 'postgres://u:first@h/d\n');
  const { password } = read({ DB1_URL_FILE: file }).settings;
  writeFileSync(file, 'postgres://u:second@h/d\n');
  expect((password as () => string)()).toBe('second');
});

test('TLS is preferred by default, and there is none on a Unix socket', () => {
  const least = { DB1_USER: 'u', DB1_PASSWORD: '', DB1_DATABASE: 'd' };
  expect(read({ ...least, DB1_HOST: 'h' }).settings.tls?.mode).toBe('prefer');
  expect(read({ ...least, DB1_HOST: '/var/run/postgresql' }).settings.tls).toBeUndefined();
});

test('the direct URL of DB1 says where sessions of the database itself are opened, and what it leaves out is as in DB1_URL', () => {
  const pooled = { DB1_URL: 'postgres://u:secret@pooler:6543/d?sslmode=require&pgbouncer=true' };
  const { settings, problems } = read({ ...pooled, DB1_DIRECT_URL: 'postgres://db.example.com' });
  expect(problems).toEqual([]);
  const { direct, ...others } = settings;
  expect(direct).toEqual({ ...others, host: 'db.example.com', port: 5_432 });
  const own = { ...pooled, DB1_DIRECT_URL: 'postgres://admin:other@[::1]:5433/e?sslmode=disable' };
  expect(read(own).settings.direct).toMatchObject({
    host: '::1',
    port: 5_433,
    user: 'admin',
    password: 'other',
    database: 'e',
    tls: undefined,
  });
});

test('a problem of both URLs of DB1 is told once', () => {
  const { settings: _, problems } = read({ DB1_URL: 'postgres://u:p@pooler/d', DB1_SSLMODE: 'on', DB1_DIRECT_URL: 'postgres://h' });
  expect(new ConfigurationError(problems).problems).toEqual([expect.stringContaining('DB1_SSLMODE must be one of')]);
});

const URL = { DB1_URL: 'postgres://u:secret@h/d' };

test.each<[string, Environment, string]>([
  ['no URL', { DB1_URL: 'localhost' }, 'DB1_URL must be a URL like postgres://user:password@host:5432/database'],
  ['another scheme', { DB1_URL: 'mysql://u:secret@h/d' }, 'DB1_URL must begin with postgres://, and not with mysql://'],
  ['no host', { DB1_URL: 'postgres:///d' }, 'DB1_URL must name one host'],
  [
    'an unknown parameter',
    { DB1_URL: `${URL.DB1_URL}?connect_timeout=5` },
    'DB1_URL has the parameter connect_timeout, which has no meaning here. Those that have are sslmode, sslrootcert, sslcert, sslkey, channel_binding',
  ],
  ['a host in both', { ...URL, DB1_HOST: 'other' }, 'DB1_HOST is set, and DB1_URL has it too. Remove one of them'],
  [
    'a mode that libpq has and nobody should use',
    { DB1_URL: `${URL.DB1_URL}?sslmode=allow` },
    'DB1_SSLMODE must be one of disable, prefer, require, verify-ca, verify-full, but is "allow"',
  ],
  [
    'verification without a CA',
    { ...URL, DB1_SSLMODE: 'verify-full' },
    'DB1_SSLROOTCERT is required with DB1_SSLMODE=verify-full: the file with the certificate of the server\'s CA, or "system" for the public CAs',
  ],
  [
    'the public CAs without the host name',
    { ...URL, DB1_SSLMODE: 'verify-ca', DB1_SSLROOTCERT: 'system' },
    'DB1_SSLROOTCERT=system requires DB1_SSLMODE=verify-full',
  ],
  [
    'a CA without verification',
    { ...URL, DB1_SSLROOTCERT: 'package.json' },
    'DB1_SSLROOTCERT has no effect with DB1_SSLMODE=prefer, which takes a connection without TLS, too. Set verify-full',
  ],
  ['a certificate without a key', { ...URL, DB1_SSLCERT: 'package.json' }, 'DB1_SSLCERT and DB1_SSLKEY belong together: set both, or none'],
  [
    'a file that cannot be read',
    { ...URL, DB1_SSLMODE: 'verify-ca', DB1_SSLROOTCERT: '/nowhere' },
    'DB1_SSLROOTCERT: the file /nowhere cannot be read: ENOENT',
  ],
])('%s is a problem that does not show the password', (_, environment, problem) => {
  const { problems } = read(environment);
  expect(problems).toContain(problem);
  expect(problems.join()).not.toContain('secret@');
});
