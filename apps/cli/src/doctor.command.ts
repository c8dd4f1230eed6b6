import { Command } from 'nest-commander';
import { DataSource } from 'typeorm';
import {
  ConfigurationError,
  type DatabaseSettings,
  DEFAULT_TIMINGS,
  isLoopback,
  readEnvironment,
  readSettings,
  type Settings,
} from '#config';
import { inspectTopic } from '#kafka';
import { db1ConnectionOptions, findPooler, queryOf, type Query } from '#postgres';
import { describeTables, findTypeDifferences } from '#reconciliation';
import { expectFit } from '#schema';
import { findCaptureProblems, findSessionProblem } from '#sync';
import { CommandWithJson, EXIT_CODES, type JsonOptions } from './usage.js';

type Part = 'settings' | 'DB1' | 'DB2' | 'Kafka';

/** A result of a check. A warning is about something that works, and that its owner should know. */
interface Finding {
  readonly part: Part;
  readonly level: 'ok' | 'warning' | 'problem';
  readonly text: string;
}

const WORDS = { ok: 'ok', warning: 'warning', problem: 'PROBLEM' };
/** Difference (s) of two clocks above which the times of changes mislead. */
const MAX_CLOCK_DIFFERENCE_S = 2;

/** To be run before the service is started, with its settings, and when it does not work. It changes nothing. */
@Command({
  name: 'doctor',
  description: 'Check settings, both databases and Kafka, and print what is wrong and how to correct it. Exit code 1: there are problems',
})
export class DoctorCommand extends CommandWithJson {
  async run(_: string[], { json }: JsonOptions): Promise<void> {
    const findings = await examine();
    const lines = findings.map(({ part, level, text }) => `${WORDS[level].padEnd(7)}  ${part.padEnd(8)}  ${text}`);
    this.print(json, findings, lines.join('\n'));
    if (findings.some(({ level }) => level === 'problem')) process.exitCode = EXIT_CODES.problem;
  }
}

async function examine(): Promise<Finding[]> {
  let settings: Settings;
  try {
    settings = readSettings(readEnvironment());
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return error.problems.map((text) => ({ part: 'settings', level: 'problem', text }));
  }
  const { db1, db2, kafka } = settings;
  const connections = await Promise.all([connect('DB1', db1), connect('DB2', db2)]);
  try {
    const [one, two] = connections.map(({ source }) => source);
    return [
      { part: 'settings', level: 'ok', text: `they are valid, for the roles ${settings.roles.join(', ')}` },
      ...connections.flatMap(({ findings }) => findings),
      ...(one ? await examineFit(queryOf(one), 'DB1', settings) : []),
      ...(one && settings.roles.includes('sync') ? await examineCapture(one, settings) : []),
      ...(two ? await examineFit(queryOf(two), 'DB2', settings) : []),
      ...(one && two ? await compareTypes(one, two, settings) : []),
      ...(kafka ? await examineKafka(settings) : []),
    ];
  } finally {
    await Promise.all(connections.flatMap(({ source }) => (source ? [source.destroy()] : [])));
  }
}

interface Connected {
  readonly source?: DataSource;
  readonly findings: readonly Finding[];
}

async function connect(part: 'DB1' | 'DB2', settings: DatabaseSettings | undefined): Promise<Connected> {
  if (!settings) return { findings: [] };
  const source = new DataSource(db1ConnectionOptions({ ...settings, poolSize: 1 }));
  const place = `${settings.user}@${settings.host}:${settings.port}/${settings.database}`;
  try {
    await source.initialize();
    return { source, findings: await examineConnection(part, source, settings, place) };
  } catch (error) {
    return { findings: [{ part, level: 'problem', text: `it cannot be used as ${place}: ${(error as Error).message}` }] };
  }
}

async function examineConnection(part: Part, source: DataSource, { host, tls }: DatabaseSettings, place: string): Promise<Finding[]> {
  const [facts] = await source.query<[{ version: string; tls: string | null; seconds: number }]>(
    `SELECT current_setting('server_version') AS version, extract(epoch FROM clock_timestamp())::float8 AS seconds,
       (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl) AS tls`,
  );
  const pooler = await findPooler(source);
  const way = pooler ? ` through a pooler, which ${pooler.keepsPrepared ? 'keeps' : 'does not keep'} prepared statements` : '';
  const findings: Finding[] = [
    { part, level: 'ok', text: `PostgreSQL ${facts.version} answers as ${place}${facts.tls === null ? '' : ` over ${facts.tls}`}${way}` },
  ];
  const isLocal = isLoopback(host) || host.startsWith('/');
  if (tls?.mode !== 'verify-full' && !isLocal) {
    const risk =
      facts.tls === null ? 'the connection is not encrypted' : `with sslmode ${tls?.mode}, another server could answer in its place`;
    findings.push({ part, level: 'warning', text: `${risk}: set ${part}_SSLMODE=verify-full and ${part}_SSLROOTCERT` });
  }
  const ahead = Math.round(facts.seconds - Date.now() / 1_000);
  if (Math.abs(ahead) > MAX_CLOCK_DIFFERENCE_S) {
    const text = `its clock differs from this machine's by ${ahead} s, by which the delays that are measured are wrong: synchronise both`;
    findings.push({ part, level: 'warning', text });
  }
  return findings;
}

/** `source` is the connection of the other roles, which may lead to a pooler. */
async function examineCapture(source: DataSource, { db1, capture: { mode, slot } }: Settings): Promise<Finding[]> {
  const problem = await findSessionProblem(db1!, DEFAULT_TIMINGS.sync);
  if (problem !== undefined) return [{ part: 'DB1', level: 'problem', text: problem }];
  const direct: Connected = db1!.direct ? await connect('DB1', db1!.direct) : { source, findings: [] };
  try {
    const refusals = mode === 'poll' || !direct.source ? [] : await findCaptureProblems(queryOf(direct.source), slot);
    return [...direct.findings, ...describeCapture(mode, refusals)];
  } finally {
    if (direct.source !== source) await direct.source?.destroy();
  }
}

function describeCapture(mode: Settings['capture']['mode'], refusals: readonly string[]): Finding[] {
  return [
    ...refusals.map((refusal): Finding => ({
      part: 'DB1',
      level: mode === 'wal' ? 'problem' : 'warning',
      text: mode === 'wal' ? `CAPTURE=wal is not possible: ${refusal}` : `it will be captured by poll, because ${refusal}`,
    })),
    ...(refusals.length === 0 && mode !== 'poll' ? ([{ part: 'DB1', level: 'ok', text: 'it can be captured by wal' }] as const) : []),
  ];
}

async function examineFit(query: Query, part: 'DB1' | 'DB2', { mapping, roles }: Settings): Promise<Finding[]> {
  const [table, statuses] = part === 'DB1' ? [mapping.db1, mapping] : [mapping.db2, undefined];
  try {
    await expectFit(query, part, table, { statuses, roles });
    return [{ part, level: 'ok', text: 'the service can work with it, or does already' }];
  } catch (error) {
    return (error as Error).message.split('\n').map((text) => ({ part, level: 'problem', text }));
  }
}

/** Returns the warnings about the types of both tables; none while one of them does not exist. */
async function compareTypes(db1: DataSource, db2: DataSource, { mapping }: Settings): Promise<Finding[]> {
  const tables = await describeTables(db1, db2, mapping).catch(() => undefined);
  const differences = tables ? await findTypeDifferences(db1, db2, tables) : [];
  return differences.map((text) => ({ part: 'DB2', level: 'warning', text }));
}

async function examineKafka({ kafka }: Settings): Promise<Finding[]> {
  const { topic, brokers, partitions } = kafka!;
  try {
    const flaws = await inspectTopic(kafka!, DEFAULT_TIMINGS.kafka);
    const state = flaws === undefined ? `will be created with ${partitions} partitions` : 'is there';
    return [
      { part: 'Kafka', level: 'ok', text: `${brokers.join(',')} answers, and the topic ${topic} ${state}` },
      ...(flaws ?? []).map((flaw): Finding => ({ part: 'Kafka', level: 'warning', text: `the topic ${topic} ${flaw}` })),
    ];
  } catch (error) {
    return [{ part: 'Kafka', level: 'problem', text: `${brokers.join(',')} cannot be used: ${(error as Error).message}` }];
  }
}
