/** Files of a small source tree, by path. */
export type Tree = Readonly<Record<string, string>>;

export interface Violation {
  /** The rule of .dependency-cruiser.cjs that must report `file`, and no other may. */
  readonly rule: string;
  readonly file: string;
  readonly source: string;
  /** Files the violation needs. */
  readonly beside?: Tree;
}

/** Uses every permission of the rules, written out by hand, so that a lost permission is reported. */
export const PERMITTED_TREE: Tree = {
  ...library('config', []),
  ...library('events', []),
  ...library('postgres', ['config']),
  ...library('kafka', ['config']),
  ...library('observability', ['config']),
  ...library('schema', ['config', 'events', 'postgres']),
  ...library('change-log', ['config', 'events', 'postgres']),
  ...library('http', ['config', 'observability', 'postgres']),
  ...library('audit', ['config', 'http', 'observability', 'postgres']),
  ...library('auth', ['audit', 'config', 'http', 'postgres']),
  ...library('subscriptions', ['config', 'events', 'http', 'observability', 'postgres']),
  ...library('import-export', ['audit', 'config', 'events', 'http', 'observability', 'postgres', 'subscriptions']),
  ...library('change-feed', ['change-log', 'config', 'events', 'http', 'observability', 'postgres', 'subscriptions']),
  ...library('replication-status', ['change-log', 'config', 'events', 'http', 'kafka', 'observability', 'postgres', 'subscriptions']),
  ...library('sync', ['change-log', 'config', 'events', 'kafka', 'observability', 'postgres']),
  ...library('replica', ['audit', 'config', 'events', 'http', 'kafka', 'observability', 'postgres']),
  ...library('reconciliation', [
    'audit',
    'change-log',
    'config',
    'events',
    'http',
    'kafka',
    'observability',
    'postgres',
    'replica',
    'schema',
    'sync',
  ]),
  ...library('erasure', [
    'audit',
    'change-log',
    'config',
    'events',
    'http',
    'import-export',
    'kafka',
    'observability',
    'postgres',
    'reconciliation',
    'replica',
    'subscriptions',
    'sync',
  ]),
  'libs/sync/src/inside.spec.ts': imports('./inside.js', 'fast-check', '../../../test/harness/parts.js'),
  'apps/server/src/inside.ts': '',
  'apps/server/src/index.ts': imports(
    './inside.js',
    '#auth',
    '#subscriptions',
    '#sync',
    '#replica',
    '#reconciliation',
    '#schema',
    '#erasure',
  ),
  'apps/cli/src/main.ts': imports('#audit', '#auth', '#config', '#erasure', '#http', '#postgres', '#reconciliation', '#sync', 'pg'),
  'apps/standalone/src/main.ts': imports('../../server/src/index.js', '#config'),
  'test/harness/parts.ts': imports('#sync', '#replica', 'fast-check', 'pg'),
  'test/behaviour.spec.ts': imports('./harness/parts.js', '../apps/server/src/inside.js'),
  'bench/pipeline.ts': imports('../apps/server/src/index.js', '#config'),
  ...packageNamed('pg'),
  ...packageNamed('fast-check'),
  ...packageNamed('@types/pg'),
};

/** At least one violation of each rule, also in forms that are easily missed: types only, dynamic, from a spec. */
export const VIOLATIONS: readonly Violation[] = [
  { rule: 'config-imports', file: 'libs/config/src/violation.ts', source: imports('#events') },
  { rule: 'events-imports', file: 'libs/events/src/violation.ts', source: imports('#config') },
  { rule: 'postgres-imports', file: 'libs/postgres/src/violation.ts', source: imports('#kafka') },
  { rule: 'kafka-imports', file: 'libs/kafka/src/violation.ts', source: imports('#postgres') },
  { rule: 'observability-imports', file: 'libs/observability/src/violation.ts', source: imports('#http') },
  { rule: 'schema-imports', file: 'libs/schema/src/violation.ts', source: imports('#http') },
  { rule: 'change-log-imports', file: 'libs/change-log/src/violation.ts', source: imports('#sync') },
  { rule: 'http-imports', file: 'libs/http/src/violation.ts', source: imports('#auth') },
  { rule: 'audit-imports', file: 'libs/audit/src/violation.ts', source: imports('#auth') },
  { rule: 'auth-imports', file: 'libs/auth/src/violation.ts', source: imports('#subscriptions') },
  { rule: 'subscriptions-imports', file: 'libs/subscriptions/src/violation.ts', source: imports('#kafka') },
  { rule: 'subscriptions-imports', file: 'libs/subscriptions/src/to-sync.ts', source: imports('#sync') },
  { rule: 'subscriptions-imports', file: 'libs/subscriptions/src/to-replica.ts', source: imports('#replica') },
  { rule: 'import-export-imports', file: 'libs/import-export/src/violation.ts', source: imports('#change-feed') },
  { rule: 'change-feed-imports', file: 'libs/change-feed/src/violation.ts', source: imports('#sync') },
  { rule: 'replication-status-imports', file: 'libs/replication-status/src/violation.ts', source: imports('#replica') },
  { rule: 'sync-imports', file: 'libs/sync/src/violation.ts', source: imports('#replica') },
  { rule: 'replica-imports', file: 'libs/replica/src/violation.ts', source: imports('#subscriptions') },
  { rule: 'replica-imports', file: 'libs/replica/src/to-sync.ts', source: imports('#sync') },
  { rule: 'replica-imports', file: 'libs/replica/src/to-schema.ts', source: imports('#schema') },
  { rule: 'replica-imports', file: 'libs/replica/src/to-change-log.ts', source: imports('#change-log') },
  { rule: 'replica-imports', file: 'libs/replica/src/types.ts', source: "import type { Sync } from '#sync';\nexport type S = Sync;" },
  { rule: 'replica-imports', file: 'libs/replica/src/exports.ts', source: "export * from '#sync';" },
  { rule: 'replica-imports', file: 'libs/replica/src/dynamic.ts', source: "export const sync = () => import('#sync');" },
  { rule: 'replica-imports', file: 'libs/replica/src/apply.spec.ts', source: imports('#sync') },
  { rule: 'reconciliation-imports', file: 'libs/reconciliation/src/violation.ts', source: imports('#subscriptions') },
  { rule: 'erasure-imports', file: 'libs/erasure/src/violation.ts', source: imports('#auth') },
  { rule: 'library-not-in-the-table', file: 'libs/newcomer/src/violation.ts', source: imports('#config') },
  { rule: 'library-inside', file: 'libs/sync/src/inside-config.ts', source: imports('../../config/src/inside.js') },
  { rule: 'library-inside', file: 'apps/server/src/inside-config.ts', source: imports('../../../libs/config/src/inside.js') },
  { rule: 'library-inside', file: 'test/inside-config.ts', source: imports('../libs/config/src/inside.js') },
  { rule: 'library-by-path', file: 'libs/sync/src/by-path.ts', source: imports('../../config/src/index.js') },
  { rule: 'library-by-path', file: 'apps/server/src/by-path.ts', source: imports('../../../libs/config/src/index.js') },
  { rule: 'library-by-path', file: 'bench/by-path.ts', source: imports('../libs/config/src/index.js') },
  { rule: 'libraries-never-apps', file: 'libs/sync/src/to-server.ts', source: imports('../../../apps/server/src/index.js') },
  { rule: 'server-imports', file: 'apps/server/src/violation.ts', source: imports('../../standalone/src/main.js') },
  { rule: 'standalone-imports', file: 'apps/standalone/src/violation.ts', source: imports('#sync') },
  { rule: 'standalone-imports', file: 'apps/standalone/src/to-server.ts', source: imports('../../server/src/inside.js') },
  { rule: 'cli-imports', file: 'apps/cli/src/violation.ts', source: imports('../../server/src/index.js') },
  { rule: 'cli-imports', file: 'apps/cli/src/to-standalone.ts', source: imports('../../standalone/src/main.js') },
  { rule: 'production-never-tests', file: 'libs/sync/src/to-test.ts', source: imports('../../../test/harness/parts.js') },
  { rule: 'production-never-tests', file: 'libs/sync/src/to-spec.ts', source: imports('./inside.spec.js') },
  { rule: 'production-never-tests', file: 'apps/server/src/to-bench.ts', source: imports('../../../bench/pipeline.js') },
  { rule: 'no-cycle', file: 'libs/sync/src/a.ts', source: imports('./b.js'), beside: { 'libs/sync/src/b.ts': imports('./a.js') } },
  { rule: 'production-never-dev-dependencies', file: 'apps/server/src/dev.ts', source: imports('fast-check') },
  { rule: 'production-never-dev-dependencies', file: 'libs/sync/src/dev.ts', source: imports('fast-check') },
  { rule: 'unresolvable', file: 'libs/sync/src/unresolvable.ts', source: imports('./missing.js') },
  { rule: 'unresolvable', file: 'test/unresolvable.ts', source: imports('#missing') },
];

function imports(...names: string[]): string {
  return names.map((name) => `import '${name}';\n`).join('');
}

function library(name: string, mayImport: readonly string[]): Tree {
  return {
    [`libs/${name}/src/inside.ts`]: '',
    [`libs/${name}/src/index.ts`]: imports('./inside.js', 'pg', ...mayImport.map((other) => `#${other}`)),
  };
}

function packageNamed(name: string): Tree {
  return { [`node_modules/${name}/package.json`]: JSON.stringify({ name, main: 'index.js' }), [`node_modules/${name}/index.js`]: '' };
}
