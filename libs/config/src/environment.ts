import { existsSync, readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';

/** Variables by name. An empty string counts as set: a password may be empty. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The process's environment over the file's (default `.env` in the working directory). The one place that reads process.env. */
export function readEnvironment(file = '.env'): Environment {
  const fromFile = existsSync(file) ? parseEnv(readFileSync(file, 'utf8')) : {};
  return { ...fromFile, ...process.env };
}
