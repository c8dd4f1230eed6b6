import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pool } from 'pg';

/** Types of the service's own columns, and of those that users' tables often have. */
const TYPES = ['text', 'varchar', 'bpchar', 'name', 'int4', 'int8', 'json', 'jsonb', 'timestamptz', 'bool', 'text[]', 'varchar[]'];
const OPERATORS = ['=', '<>', '<', '>', '<=', '>=', '||', '-', '->', '->>', '#>>', '?', '@>', '~', '*<>', '*='];
/** Types of the parameters of hostile functions. */
const PARAMETERS = ['text', 'varchar', 'int8', 'jsonb', 'json', 'text[]'];

/** Returns all names in the service's code that a call in SQL may have. */
function calledNames(): string[] {
  const files = readdirSync('libs', { recursive: true, encoding: 'utf8' }).filter((file) => /(?<!\.spec)\.(ts|sql)$/.test(file));
  const calls = files.flatMap((file) => [...readFileSync(join('libs', file), 'utf8').matchAll(/\b([a-z][a-z0-9_]+)\(/g)]);
  return [...new Set(calls.map(([, name]) => name!))];
}

/**
 * Creates, in the schema public, operators and functions that have the names of PostgreSQL's own, and more exact types. Each records its call
 * and its caller in `public.caught`. Run as a role that may create objects in public, which is everybody's default in PostgreSQL 14.
 */
export async function createHostileObjects(pool: Pool, role: string): Promise<void> {
  await pool.query(`
    GRANT CREATE ON SCHEMA public TO PUBLIC;
    CREATE TABLE public.caught (what text, caller name, program text);
    GRANT ALL ON public.caught TO PUBLIC;`);
  const session = await pool.connect();
  try {
    await session.query(`SET SESSION AUTHORIZATION ${role}; SET search_path = pg_catalog; SET check_function_bodies = off`);
    await session.query(HOSTILE_OPERATORS);
    await session.query(`SELECT set_config('hostile.names', $1, false)`, [calledNames().join(',')]);
    await session.query(HOSTILE_FUNCTIONS);
    await session.query(HOSTILE_TABLES);
  } finally {
    session.release(true);
  }
}

/** Returns the calls of hostile objects by the service, and those with the rights of another role than the program's own. */
export async function callsOf(pool: Pool, role: string): Promise<string[]> {
  const session = await pool.connect();
  try {
    await session.query('SET search_path = pg_catalog');
    const { rows } = await session.query<{ call: string }>(
      `SELECT DISTINCT concat_ws(' ', program, caller, what) AS call FROM public.caught
       WHERE program LIKE 'subscription-sync%' OR program = $1 AND caller <> $1 ORDER BY 1`,
      [role],
    );
    return rows.map(({ call }) => call);
  } finally {
    session.release(true);
  }
}

const arrayOf = (words: readonly string[]): string => `ARRAY[${words.map((word) => `'${word}'`).join(', ')}]::text[]`;
/** Returns the rest of a function's definition. */
function catching(what: string): string {
  const insert = `INSERT INTO public.caught VALUES (${what}, current_user, current_setting('application_name'))`;
  return `LANGUAGE plpgsql SET search_path = pg_catalog AS $$ BEGIN ${insert}; RETURN NULL; END $$`;
}

const HOSTILE_OPERATORS = `
DO $do$
DECLARE a text; b text; operator text;
BEGIN
  FOREACH a IN ARRAY ${arrayOf(TYPES)} LOOP FOREACH b IN ARRAY ${arrayOf(TYPES)} LOOP
    EXECUTE format($f$CREATE FUNCTION public.hostile_operator(%s, %s) RETURNS boolean ${catching(`'operator (%s, %s)'`)}$f$, a, b, a, b);
    FOREACH operator IN ARRAY ${arrayOf(OPERATORS)} LOOP
      CONTINUE WHEN to_regoperator(format('pg_catalog.%s(%s,%s)', operator, a, b)) IS NOT NULL;
      EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.hostile_operator)', operator, a, b);
    END LOOP;
  END LOOP; END LOOP;
END $do$`;

const HOSTILE_FUNCTIONS = `
DO $do$
DECLARE called text; parameters text; types text[] := ${arrayOf(PARAMETERS)};
BEGIN
  FOR called IN SELECT DISTINCT p.proname FROM pg_proc p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (string_to_array(current_setting('hostile.names'), ','))
  LOOP
    FOR parameters IN
      SELECT a FROM unnest(types) a UNION SELECT a || ', text' FROM unnest(types) a UNION SELECT 'text, ' || a FROM unnest(types) a
      UNION SELECT a || ', ' || a FROM unnest(types) a
      UNION ALL SELECT concat_ws(', ', a, a, a) FROM unnest(types) a UNION ALL SELECT a || ', text, boolean' FROM unnest(types) a
    LOOP
      CONTINUE WHEN to_regprocedure(format('pg_catalog.%I(%s)', called, parameters)) IS NOT NULL;
      EXECUTE format($f$CREATE FUNCTION public.%I(%s) RETURNS text ${catching(`'%s(%s)'`)}$f$, called, parameters, called, parameters);
    END LOOP;
  END LOOP;
END $do$`;

/** Tables with the names of the service's own. */
const HOSTILE_TABLES = `
DO $do$
DECLARE known text;
BEGIN
  CREATE FUNCTION public.hostile_trigger() RETURNS trigger ${catching(`'table ' || TG_TABLE_NAME`)};
  FOR known IN SELECT relname FROM pg_class WHERE relnamespace = 'subscription_sync'::regnamespace AND relkind IN ('r', 'p') LOOP
    EXECUTE format('CREATE TABLE public.%I (email text, version bigint)', known);
    EXECUTE format('CREATE TRIGGER hostile BEFORE INSERT OR UPDATE OR DELETE ON public.%I FOR EACH STATEMENT EXECUTE FUNCTION public.hostile_trigger()', known);
  END LOOP;
END $do$`;
