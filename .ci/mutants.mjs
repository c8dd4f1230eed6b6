/**
 * Removes each rule that keeps a promise, one at a time in a copy of the checkout, and checks that the test named for it fails. A test that
 * passes or does not run fails the run. `npm run test:mutants -- guard 'a purge'` runs only the mutants whose names contain one of these texts.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** `find` occurs exactly once in `file`. `test` is the beginning of the full name of a test in `spec`. */
const MUTANTS = [
  {
    name: 'the guard is gone',
    file: 'libs/replica/src/apply-statement.ts',
    find: '  WHERE known.version < excluded.version\n',
    put: '',
    spec: 'libs/replica/src/apply-guard.spec.ts',
    test: 'any permutation, duplication and regrouping of histories equals the sorted history one worker',
  },
  {
    name: 'the guard lets an equal version pass',
    file: 'libs/replica/src/apply-statement.ts',
    find: 'known.version < excluded.version',
    put: 'known.version <= excluded.version',
    spec: 'libs/replica/src/apply-guard.spec.ts',
    test: 'a change that is delivered again writes nothing',
  },
  {
    name: 'the table is written before the guard has passed',
    file: 'libs/replica/src/apply-statement.ts',
    find: ` WHERE \${isAmong('"subscription_sync.email"', 'passed', 'email')} IS TRUE`,
    put: '',
    spec: 'libs/replica/src/apply-guard.spec.ts',
    test: 'any permutation, duplication and regrouping of histories equals the sorted history one worker',
  },
  {
    name: 'the image of an event is taken from wherever it seems to be',
    file: 'libs/events/src/decode-event.ts',
    find: " || envelope['data']['subscription'] !== PLACEHOLDER",
    put: '',
    spec: 'libs/events/src/event-text.spec.ts',
    test: 'with a second member `subscription`, the image is the one that a parser of JSON finds',
  },
  {
    name: 'tombstones are forgotten',
    file: 'libs/replica/src/apply-statement.ts',
    find: 'const STORE_POSITIONS = `',
    put: 'const STORE_POSITIONS = `, buried AS (DELETE FROM subscription_sync.applied WHERE deleted_at IS NOT NULL)',
    spec: 'libs/replica/src/apply-guard.spec.ts',
    test: 'any permutation, duplication and regrouping of histories equals the sorted history one worker',
  },
  {
    name: 'partitions that share a transaction wait for the locks of one of them',
    file: 'libs/replica/src/apply-changes.ts',
    find: 'parts.length === 1 ? null : SHARED_LOCK_TIMEOUT',
    put: 'null',
    spec: 'libs/replica/src/apply-together.spec.ts',
    test: 'a row that another program has locked delays only the batch of its own partition',
  },
  {
    name: 'rows are deleted as the snapshot before the locks shows them',
    file: 'libs/replica/src/apply-statement.ts',
    find: `)\${positions ? STORE_POSITIONS : ''}
SELECT (SELECT count(*) FROM passed)::int AS applied, (
  SELECT subscription_sync.delete_rows(array_agg(\${asKey(table, 'spelling')}))
  FROM passed, LATERAL (VALUES (coalesce(written, email)), (renamed)) s(spelling)
  WHERE deleted_at IS NOT NULL AND spelling IS NOT NULL HAVING count(*) > 0
) AS deletions`,
    put: `), gone AS (
  DELETE FROM \${table.sql} t WHERE t.\${table.key} IN (SELECT \${asKey(table, 'coalesce(written, email)')} FROM passed WHERE deleted_at IS NOT NULL)
)\${positions ? STORE_POSITIONS : ''}
SELECT (SELECT count(*) FROM passed)::int AS applied`,
    spec: 'libs/replica/src/apply-guard.spec.ts',
    test: 'an applier that waits for another one of the same email goes on with what that one has committed it deletes a row that the other one has inserted',
  },
  {
    name: 'a row that another applier has inserted meanwhile is not updated',
    file: 'libs/replica/src/apply-statement.ts',
    find: 'ON CONFLICT (${table.key}) DO UPDATE SET ${setBusiness}',
    put: 'ON CONFLICT (${table.key}) DO NOTHING',
    spec: 'libs/replica/src/apply-guard.spec.ts',
    test: 'an applier that waits for another one of the same email goes on with what that one has committed it updates a row that the other one has inserted',
  },
  {
    name: 'deferred constraints are checked only at the commit',
    file: 'libs/replica/src/apply-changes.ts',
    find: 'SET CONSTRAINTS ALL IMMEDIATE',
    put: 'SELECT 1',
    spec: 'libs/replica/src/apply-changes.spec.ts',
    test: 'a row that violates a constraint only at the commit becomes a dead letter, and its neighbours are applied',
  },
  {
    name: 'a batch is not de-duplicated',
    file: 'libs/replica/src/apply-changes.ts',
    find: 'return [...newest.values()];',
    put: 'return [...events];',
    spec: 'libs/replica/src/apply-guard.spec.ts',
    test: 'any permutation, duplication and regrouping of histories equals the sorted history one worker',
  },
  {
    name: 'an offset is committed before DB2 has the change',
    file: 'libs/kafka/src/partition-worker.ts',
    find: '        await this.options.handle(',
    put: '        void this.options.handle(',
    spec: 'test/pipeline/offsets.spec.ts',
    test: 'an offset is committed after DB2 has the change',
  },
  {
    name: 'a process that stops leaves what it has applied uncommitted',
    file: 'libs/kafka/src/batch.strategy.ts',
    find: '      .then(() => this.partitions.commit())\n',
    put: '',
    spec: 'test/pipeline/offsets.spec.ts',
    test: 'a process that stops commits what it has applied',
  },
  {
    name: 'the checkpoint passes what is not published',
    file: 'libs/sync/src/checkpoint.ts',
    find: '.after <= this.acknowledged',
    put: '.after <= this.received',
    spec: 'libs/sync/src/checkpoint.spec.ts',
    test: 'never passes an unpublished commit',
  },
  ...['wal', 'poll'].map((capture) => ({
    name: `${capture}: acknowledged before it is published`,
    file: 'libs/sync/src/relay.ts',
    find: 'const refused = await this.publisher.publish(changes, signal);',
    put: 'const refused = changes.filter(() => false);\n      void this.publisher.publish(changes, signal).catch(() => undefined);',
    spec: 'test/faults/kafka-away.spec.ts',
    test: `changes that were read but are not on Kafka when the process stops are published by the next one (${capture})`,
  })),
  {
    name: 'the end of a commit is acknowledged as if the next one belonged to it',
    file: 'libs/sync/src/pgoutput.ts',
    find: 'end: data.readBigUInt64BE(35) }',
    put: 'end: data.readBigUInt64BE(35) + 1n }',
    spec: 'libs/sync/src/replication-stream.spec.ts',
    test: 'a transaction that commits right after the confirmed one is not skipped',
  },
  {
    name: 'the checkpoint passes what was written while the publication was gone',
    file: 'libs/sync/src/wal-capture.ts',
    find: 'if (!rows[0]!.published) throw',
    put: 'if (rows.length === 0) throw',
    spec: 'test/faults/lost-slot.spec.ts',
    test: 'no change is lost when the publication of a running reader is dropped',
  },
  {
    name: 'a slot that others read on from is trusted',
    file: 'libs/sync/src/wal-capture.ts',
    find: 'confirmed <= stored.lsn',
    put: 'confirmed >= 0n',
    spec: 'test/faults/foreign-slot.spec.ts',
    test: 'a slot that another program has advanced is not trusted',
  },
  {
    name: 'If-Match is judged before the row is locked, and not under the lock',
    file: 'libs/schema/src/db1/write-functions.ts',
    find: `      WHERE \${hasKey(table, 's', 'found_key')} AND NOT must_be_new
        AND (if_match IS NULL OR md5(\${rowBody}) = ANY (if_match))
        AND (if_none_match IS NULL OR md5(\${rowBody}) <> ALL (if_none_match))
        AND (target`,
    put: `      WHERE \${hasKey(table, 's', 'found_key')} AND NOT must_be_new
        AND (if_match IS NULL OR EXISTS (
          SELECT FROM \${sql} b WHERE \${hasKey(table, 'b', 'found_key')} AND md5(\${rowBody.replaceAll('s.', 'b.')}) = ANY (if_match)))
        AND (if_none_match IS NULL OR md5(\${rowBody}) <> ALL (if_none_match))
        AND (target`,
    spec: 'test/api/conditional.spec.ts',
    test: 'a precondition is checked against the row as it is after the writer has waited for its lock',
  },
  {
    name: 'the lifecycle is not judged',
    file: 'libs/schema/src/db1/write-functions.ts',
    find: 'AND (target IS NULL OR subscription_sync.transition_allowed(s.${status}::text, target, reactivate))',
    put: '',
    spec: 'test/api/status-transitions.spec.ts',
    test: 'from canceled: the API allows the transitions of the table, and refuses others with the allowed ones',
  },
  {
    name: 'what was done under an idempotency key is not kept',
    file: 'libs/schema/src/db1/write-functions.ts',
    find: `AND outcome IN ('created', 'updated', 'deleted') THEN`,
    put: 'AND false THEN',
    spec: 'test/api/idempotency.spec.ts',
    test: 'when the process is killed between commit and response, a retry gets the original response and has no second effect',
  },
  {
    name: 'a page that was not filled is taken for the last',
    file: 'libs/subscriptions/src/list-statement.ts',
    find: 'OFFSET ${scanned - 1} LIMIT 1',
    put: 'OFFSET ${scanned} LIMIT 1',
    spec: 'test/api/lists.spec.ts',
    test: 'a list can be filtered by a plan',
  },
  {
    name: 'the triggers do not fire in replica sessions',
    file: 'libs/schema/src/db1/triggers.ts',
    find: '`ENABLE ALWAYS TRIGGER ${name}`',
    put: '`ENABLE TRIGGER ${name}`',
    spec: 'test/pipeline/change-log/what-is-logged.spec.ts',
    test: 'the log of a statement is recorded in a session that applies the changes of another server',
  },
  {
    name: 'a capture session does not check for continuity gaps',
    file: 'libs/sync/src/relay.ts',
    find: 'const checked = this.beforePublishing(signal);',
    put: 'const checked = Promise.resolve();',
    spec: 'test/faults/lost-history.spec.ts',
    test: 'a DB1 that was restored under the running service is noticed before a change of it is published',
  },
  {
    name: 'a lost connection is taken for a slow statement',
    file: 'libs/postgres/src/client.ts',
    find: 'misses = isBusy ? 0 : misses + 1;',
    put: 'misses = 0;',
    spec: 'test/faults/black-hole.spec.ts',
    test: 'notice that the network has forgotten one of them',
  },
  {
    name: 'a change is published before DB1 shows it',
    file: 'libs/sync/src/wal-capture.ts',
    find: 'let xids = this.stream.takeTransactions();',
    put: 'let xids = this.stream.takeTransactions().slice(0, 0);',
    spec: 'test/faults/synchronous-standby.spec.ts',
    test: 'a change is not published while its commit waits for a synchronous standby',
  },
  {
    name: 'a repair logs rows that it has not locked',
    file: 'libs/reconciliation/src/repair.ts',
    find: '[locked]);',
    put: '[written]);',
    spec: 'libs/reconciliation/src/repair.spec.ts',
    test: 'a row that is created and deleted again while a repair waits for another row is not repaired',
  },
  {
    name: 'a version that DB1 never drew is not taken back',
    file: 'libs/reconciliation/src/repair.ts',
    find: 'chunk.filter((row) => row.foreign)',
    put: 'chunk.filter(() => false)',
    spec: 'test/pipeline/reconciliation/foreign-records.spec.ts',
    test: 'far above all versions: a record that DB1 never wrote is noticed within seconds and touches its own row only',
  },
  {
    name: 'the versions of rows that are equal are not compared',
    file: 'libs/reconciliation/src/comparison.ts',
    find: "    if (this.run.scope === 'all' && isNew && versionsFirst) await this.compareVersions();\n",
    put: '',
    spec: 'test/pipeline/reconciliation/foreign-records.spec.ts',
    test: 'a requested run finds a foreign version of a row that is equal in both databases',
  },
  {
    name: 'a record that DB1 never wrote moves the sequence',
    file: 'libs/reconciliation/src/gaps.ts',
    find: 'if (captured && hasLostChanges(evidence)) await advanceSequence(db1, captured.version, VERSION_MARGIN);',
    put: 'await advanceSequence(db1, Math.max(...evidence.partitions.map(({ version }) => version)), VERSION_MARGIN);',
    spec: 'test/pipeline/reconciliation/foreign-records.spec.ts',
    test: 'slightly above the sequence: a record that DB1 never wrote is noticed within seconds and touches its own row only',
  },
  {
    name: 'changes that were applied lately are not looked up in the log',
    file: 'libs/reconciliation/src/gaps.ts',
    find: 'const foreign = await findNeverDrawn(db1, lately);',
    put: 'const foreign = lately.slice(lately.length);',
    spec: 'test/pipeline/reconciliation/foreign-records.spec.ts',
    test: 'below the sequence, an unused number: a record that DB1 never wrote is noticed within seconds and touches its own row only',
  },
  {
    name: 'a table of the service is in public',
    file: 'libs/postgres/src/connection-options.ts',
    find: '    schema: SCHEMA,\n',
    put: `    schema: 'public',\n`,
    spec: 'test/pipeline/own-schema.spec.ts',
    test: "public holds nothing but the users' tables after a start on empty databases",
  },
  {
    name: 'a migration that fails leaves the schema behind',
    file: 'libs/postgres/src/migrator.ts',
    find: 'await manager.query(CREATE_SCHEMA)',
    put: 'await dataSource.query(CREATE_SCHEMA)',
    spec: 'test/pipeline/own-schema.spec.ts',
    test: 'a migration that fails leaves the database as it was',
  },
  {
    name: 'a purge does not check that the service has stopped',
    file: 'libs/sync/src/purge.ts',
    find: 'if (this.found.hasSchema) await waitUntilStopped(',
    put: 'if (!this.found) await waitUntilStopped(',
    spec: 'test/pipeline/purge.spec.ts',
    test: 'a purge is refused while a process is connected to either database',
  },
  {
    name: "a purge drops another program's objects that depend on the schema",
    file: 'libs/postgres/src/remove-schema.ts',
    find: 'if (dependants.length > 0) {',
    put: 'if (dependants.length < 0) {',
    spec: 'test/pipeline/purge.spec.ts',
    test: "another program's object that depends on the service's schema is named, and nothing is dropped",
  },
  {
    name: 'a purge drops a schema that the service cannot create again',
    file: 'libs/postgres/src/remove-schema.ts',
    find: " AND has_database_privilege(current_database(), 'CREATE') AS drops",
    put: ' AS drops',
    spec: 'test/pipeline/purge.spec.ts',
    test: 'a schema that an administrator has created for a role that cannot create one is emptied and kept',
  },
  {
    name: 'a row that a nested statement has written is recorded as it was before',
    file: 'libs/schema/src/db1/triggers.ts',
    find: `IF current_setting('subscription_sync.nested', true) = 'on' THEN`,
    put: 'IF false THEN',
    spec: 'test/pipeline/existing-rows/risky-tables.spec.ts',
    test: 'the last state of a row is recorded last when a trigger of the program writes the row again',
  },
  {
    name: 'changes that are made while the upgrade copies the log are not copied',
    file: 'libs/schema/src/db1/upgrade.ts',
    find: 'c.txid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(c.txid, $1::pg_snapshot)',
    put: '$1::pg_snapshot IS NULL',
    spec: 'test/pipeline/upgrade.spec.ts',
    test: 'the tables that version 0.1 created a transaction that is open during the upgrade',
  },
  {
    name: 'settings stay in the sessions that a pooler lends to others',
    file: 'libs/postgres/src/session-client.ts',
    find: "assignments('SET LOCAL', settings)",
    put: "assignments('SET', settings)",
    spec: 'test/connecting/pooler.spec.ts',
    test: 'through poolers that keep prepared statements: false all roles work',
  },
  {
    name: 'the lease is taken through a pooler that ignores settings',
    file: 'libs/sync/src/leader-lease.ts',
    find: '!isOwn || ',
    put: '',
    spec: 'libs/sync/src/leader-lease.spec.ts',
    test: 'the address for the capture must not be that of a pooler which ignores them, and lends',
  },
  {
    name: 'a scheduled run does not give way to a requested one',
    file: 'libs/reconciliation/src/runs.ts',
    find: "yieldScheduledRun(`$2 = '${REQUESTED}'`)",
    put: "yieldScheduledRun(`$2 = ''`)",
    spec: 'test/pipeline/reconciliation/run-commands.spec.ts',
    test: 'a scheduled run gives way to a requested one, and continues afterwards',
  },
  {
    name: 'a run that gave way does not continue',
    file: 'libs/reconciliation/src/runs.ts',
    find: 'WHERE yielded AND finished_at IS NULL)',
    put: 'WHERE yielded AND finished_at IS NOT NULL)',
    spec: 'test/pipeline/reconciliation/run-commands.spec.ts',
    test: 'a scheduled run gives way to a requested one, and continues afterwards',
  },
  {
    name: 'a number that JSON.parse rounds is stored with another value',
    file: 'libs/http/src/json-flaws.ts',
    find: ' && decimal(text) === decimal(String(value))',
    put: '',
    spec: 'test/api/client-requests.spec.ts',
    test: 'a number that a JSON parser would round is refused by its pointer',
  },
  {
    name: 'a number of many digits is not looked at',
    file: 'libs/http/src/json-flaws.ts',
    find: '/[\\d.]{16}|\\d[eE][+-]?\\d/',
    put: '/\\d[eE][+-]?\\d/',
    spec: 'libs/http/src/json-flaws.spec.ts',
    test: 'numbers that JSON.parse changes 9007199254740993',
  },
  {
    name: 'of a member that occurs twice, the last value is stored',
    file: 'libs/http/src/json-flaws.ts',
    find: ' || countNames(json) !== countMembers(value)',
    put: '',
    spec: 'test/api/json-bodies.spec.ts',
    test: 'a member that occurs twice is refused by its pointer',
  },
  {
    name: 'members of metadata are left out in silence',
    file: 'libs/subscriptions/src/subscription.dto.ts',
    find: 'Transform(({ obj, key }: { obj: Readonly<Record<string, unknown>>; key: string }) => obj[key]),',
    put: '',
    spec: 'test/api/json-bodies.spec.ts',
    test: 'members with the names of other properties of every object are stored',
  },
  {
    name: 'malformed bytes are answered in the middle of a response',
    file: 'apps/server/src/fastify-adapter.ts',
    find: ' || isAnswering',
    put: '',
    spec: 'test/attack/smuggling.spec.ts',
    test: 'an answer to malformed bytes is never the answer of the request before them',
  },
  {
    name: 'a precondition behind many headers is left out',
    file: 'apps/server/src/fastify-adapter.ts',
    find: 'maxHeadersCount = 0',
    put: 'maxHeadersCount = 1_000',
    spec: 'test/attack/headers.spec.ts',
    test: 'a precondition is never left out behind 3000 other headers',
  },
  {
    name: 'the lines of a file after a quote that is never closed are left out in silence',
    file: 'libs/import-export/src/csv-lines.ts',
    find: 'throw error instanceof CsvError ? records.describe(error) : error;',
    put: 'if (!(error instanceof CsvError)) throw records.describe(error);',
    spec: 'libs/import-export/src/parsers.spec.ts',
    test: 'CSV whose last quote is not closed is read alike',
  },
  {
    name: 'of two columns for a field, one is taken in silence',
    file: 'libs/import-export/src/csv-lines.ts',
    find: 'if (twice !== undefined) {',
    put: 'if (twice !== undefined && names.length === 0) {',
    spec: 'test/api/import-export/other-tools.spec.ts',
    test: 'names, statuses and dates two columns for a field is 422',
  },
  {
    name: 'answers with personal data may be stored by caches',
    file: 'libs/auth/src/auth.hook.ts',
    find: "    void reply.header('cache-control', 'no-store');\n",
    put: '',
    spec: 'test/api/access/matrix.spec.ts',
    test: 'no cache may store an answer of a route that needs a credential',
  },
  {
    name: 'the readiness tells everybody why a part is down',
    file: 'apps/server/src/probes.module.ts',
    find: 'isTrusted ? report : failuresOf(report)',
    put: 'report',
    spec: 'test/api/access/readiness.spec.ts',
    test: 'readiness names the parts that fail, and says why only to a valid credential',
  },
  {
    name: 'an operator sees the bytes of dead letters',
    file: 'libs/replica/src/dead-letters.queries.ts',
    find: '    if (!withBytes) return view;\n',
    put: '',
    spec: 'test/api/access/personal-data.spec.ts',
    test: 'an operator sees dead letters without their bytes',
  },
  {
    name: 'an erasure forgets the version before Kafka has forgotten the records',
    file: 'libs/erasure/src/erasure-worker.ts',
    find: 'await this.eraseUpTo({ ...erasure, version }, manager, true);',
    put: 'await this.eraseUpTo({ ...erasure, version }, manager, false);',
    spec: 'test/pipeline/erasure.spec.ts',
    test: 'an erasure leaves the email nowhere, and no replay of the topic brings the row back',
  },
  {
    name: 'an erasure does not wait until Database 2 has deleted the row',
    file: 'libs/erasure/src/erasure-worker.ts',
    find: 'return state !== undefined && state.value !== null && state.version <= version;',
    put: 'return state === null && version < 0;',
    spec: 'test/pipeline/erasure.spec.ts',
    test: 'an erasure waits until Database 2 has deleted the row, however often that was refused',
  },
  {
    name: 'a process can delete recent entries of the audit log',
    file: 'libs/schema/src/owner-functions.ts',
    find: 'greatest(days, 30)',
    put: 'days',
    spec: 'test/api/access/audit.spec.ts',
    test: 'entries end after AUDIT_RETENTION_DAYS',
  },
  {
    name: 'an export begins without an entry in the audit log',
    file: 'libs/import-export/src/export.ts',
    find: `    await this.audit.record({ ...by, action: 'export.begin', details: { format } });\n`,
    put: '',
    spec: 'test/api/access/audit.spec.ts',
    test: 'an act that cannot be recorded is not done',
  },
  {
    name: 'the log has the subject of a token',
    file: 'libs/http/src/caller.ts',
    find: '`oidc:${pseudonymOf(rest)}`;',
    put: 'actor;',
    spec: 'libs/http/src/caller.spec.ts',
    test: 'the caller in the log of oidc:ada@example.com',
  },
];

const requested = process.argv.slice(2);
const chosen = MUTANTS.filter(({ name }) => requested.length === 0 || requested.some((text) => name.includes(text)));
if (chosen.length === 0) throw new Error(`No mutant has a name that contains ${requested.join(' or ')}`);

const copy = mkdtempSync(join(tmpdir(), 'subscription-sync-mutants-'));
const survivors = [];
try {
  const skipped = new Set(['node_modules', '.git', '.data'].map((name) => resolve(name)));
  cpSync('.', copy, { recursive: true, filter: (path) => !skipped.has(resolve(path)) });
  symlinkSync(resolve('node_modules'), join(copy, 'node_modules'));
  for (const mutant of chosen) {
    const { caught, why } = run(mutant);
    console.log(`${caught ? 'caught  ' : 'SURVIVED'}  ${mutant.name}\n          by ${mutant.spec}: ${mutant.test}${why}`);
    if (!caught) survivors.push(mutant.name);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(`${chosen.length - survivors.length} of ${chosen.length} mutants caught`);
process.exitCode = survivors.length;

function run({ file, find, put, spec, test }) {
  const path = join(copy, file);
  const source = readFileSync(path, 'utf8');
  if (source.split(find).length !== 2) throw new Error(`${file} does not have exactly once:\n${find}`);
  // Jest's global setup migrates its template with the build, which contains SQL exactly as the source does.
  const built = join(copy, 'dist', file.replace(/\.ts$/, '.js'));
  const builtSource = readFileSync(built, 'utf8');
  for (const [to, text] of [
    [path, source],
    [built, builtSource],
  ]) {
    writeFileSync(
      to,
      text.replace(find, () => put),
    );
  }
  try {
    const name = test.replaceAll(/[()]/g, '\\$&');
    // The output has the outcomes also when something that the failed test left behind ends the process. A file of results is not written then.
    const { stderr } = spawnSync('npx', ['jest', spec, '-t', name, '--verbose'], { cwd: copy, encoding: 'utf8', maxBuffer: 1e9 });
    const outcomes = [...stderr.matchAll(/^ +([✓✕]) /gmu)].map(([, mark]) => mark);
    if (outcomes.length === 0) return { caught: false, why: '\n          it did not run' };
    return { caught: outcomes.includes('✕'), why: '' };
  } finally {
    writeFileSync(path, source);
    writeFileSync(built, builtSource);
  }
}
