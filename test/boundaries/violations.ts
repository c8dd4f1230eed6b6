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

/** Uses whatever the rules permit, written out by hand: a permission lost in the rules is reported here. */
export const PERMITTED_TREE: Tree = {
  ...library('contracts', []),
  ...library('config', []),
  ...library('kafka', ['config']),
  ...library('lifecycle', []),
  ...library('databases', ['config', 'lifecycle']),
  ...library('operations', ['config', 'databases', 'kafka']),
  ...library('access', ['config', 'databases', 'operations']),
  ...library('subscriptions', ['config', 'databases', 'lifecycle', 'operations']),
  ...library('history', ['config', 'databases', 'operations', 'subscriptions']),
  ...library('tracking', ['config', 'databases', 'kafka', 'operations', 'subscriptions']),
  ...library('bulk', ['config', 'databases', 'lifecycle', 'operations', 'subscriptions']),
  ...library('sync', ['config', 'contracts', 'databases', 'kafka', 'operations']),
  ...library('replica', ['config', 'contracts', 'databases', 'kafka', 'operations']),
  ...library('reconciliation', ['config', 'contracts', 'databases', 'kafka', 'operations', 'replica', 'sync']),
  'libs/sync/src/inside.spec.ts': imports('./inside.js', 'fast-check', '../../../test/harness/parts.js'),
  'apps/server/src/inside.ts': '',
  'apps/server/src/index.ts': imports('./inside.js', '#access', '#subscriptions', '#sync', '#replica', '#reconciliation', '#operations'),
  'apps/standalone/src/main.ts': imports('../../server/src/index.js', '#config'),
  'test/harness/parts.ts': imports('#sync', '#replica', 'fast-check', 'pg'),
  'test/behaviour.spec.ts': imports('./harness/parts.js', '../apps/server/src/inside.js'),
  'bench/pipeline.ts': imports('../apps/server/src/index.js', '#config'),
  ...packageNamed('pg'),
  ...packageNamed('fast-check'),
  ...packageNamed('@types/pg'),
};

/** At least one for each rule, also in the shapes that are easily missed: types only, dynamic, from a spec. */
export const VIOLATIONS: readonly Violation[] = [
  { rule: 'contracts-imports', file: 'libs/contracts/src/violation.ts', source: imports('#config') },
  { rule: 'config-imports', file: 'libs/config/src/violation.ts', source: imports('#contracts') },
  { rule: 'kafka-imports', file: 'libs/kafka/src/violation.ts', source: imports('#contracts') },
  { rule: 'lifecycle-imports', file: 'libs/lifecycle/src/violation.ts', source: imports('#config') },
  { rule: 'databases-imports', file: 'libs/databases/src/violation.ts', source: imports('#kafka') },
  { rule: 'operations-imports', file: 'libs/operations/src/violation.ts', source: imports('#contracts') },
  { rule: 'access-imports', file: 'libs/access/src/violation.ts', source: imports('#subscriptions') },
  { rule: 'subscriptions-imports', file: 'libs/subscriptions/src/violation.ts', source: imports('#kafka') },
  { rule: 'subscriptions-imports', file: 'libs/subscriptions/src/to-sync.ts', source: imports('#sync') },
  { rule: 'history-imports', file: 'libs/history/src/violation.ts', source: imports('#sync') },
  { rule: 'tracking-imports', file: 'libs/tracking/src/violation.ts', source: imports('#replica') },
  { rule: 'bulk-imports', file: 'libs/bulk/src/violation.ts', source: imports('#history') },
  { rule: 'sync-imports', file: 'libs/sync/src/violation.ts', source: imports('#replica') },
  { rule: 'replica-imports', file: 'libs/replica/src/violation.ts', source: imports('#subscriptions') },
  { rule: 'replica-imports', file: 'libs/replica/src/to-sync.ts', source: imports('#sync') },
  { rule: 'replica-imports', file: 'libs/replica/src/types.ts', source: "import type { Sync } from '#sync';\nexport type S = Sync;" },
  { rule: 'replica-imports', file: 'libs/replica/src/exports.ts', source: "export * from '#sync';" },
  { rule: 'replica-imports', file: 'libs/replica/src/dynamic.ts', source: "export const sync = () => import('#sync');" },
  { rule: 'replica-imports', file: 'libs/replica/src/apply.spec.ts', source: imports('#sync') },
  { rule: 'reconciliation-imports', file: 'libs/reconciliation/src/violation.ts', source: imports('#subscriptions') },
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
