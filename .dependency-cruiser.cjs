/**
 * Who may import whom, by folder (docs/architecture.md). Each rule has a deliberate violation in test/boundaries/boundaries.spec.ts, which
 * fails when a rule is added without one.
 */

/** A library and the libraries it may import. A new library is one line here. */
const LIBRARIES = {
  config: [],
  events: [],
  postgres: ['config'],
  kafka: ['config'],
  observability: ['config'],
  schema: ['config', 'events', 'postgres'],
  'change-log': ['config', 'events', 'postgres'],
  http: ['config', 'observability', 'postgres'],
  auth: ['config', 'http', 'postgres'],
  subscriptions: ['config', 'events', 'http', 'observability', 'postgres'],
  'import-export': ['config', 'events', 'http', 'observability', 'postgres', 'subscriptions'],
  'change-feed': ['change-log', 'config', 'events', 'http', 'observability', 'postgres', 'subscriptions'],
  'replication-status': ['config', 'events', 'http', 'kafka', 'observability', 'postgres', 'subscriptions'],
  sync: ['change-log', 'config', 'events', 'kafka', 'observability', 'postgres'],
  replica: ['config', 'events', 'http', 'kafka', 'observability', 'postgres'],
  reconciliation: ['change-log', 'config', 'events', 'http', 'kafka', 'observability', 'postgres', 'replica', 'schema', 'sync'],
};

const INDEX = '^libs/[^/]+/src/index\\.ts$';
const SPEC = '\\.spec\\.ts$';
/** Captures the library or app (`libs/sync`), or the folder around them. Used as $1 in `to`. */
const OWN_FOLDER = '^((?:apps|libs)/[^/]+|test|bench)/';

function libraryRule([name, allowed]) {
  return {
    name: `${name}-imports`,
    severity: 'error',
    comment: `libs/${name} may import ${allowed.length > 0 ? `libs ${allowed.join(', ')}` : 'nothing of ours'} (.dependency-cruiser.cjs has the table).`,
    from: { path: `^libs/${name}/` },
    to: { path: '^libs/', pathNot: `^libs/(?:${[name, ...allowed].join('|')})/` },
  };
}

const rules = [
  ...Object.entries(LIBRARIES).map(libraryRule),
  {
    name: 'library-not-in-the-table',
    severity: 'error',
    comment: 'A library without its line in LIBRARIES would be free to import anything.',
    from: { path: '^libs/', pathNot: `^libs/(?:${Object.keys(LIBRARIES).join('|')})/` },
    to: {},
  },
  {
    name: 'library-inside',
    severity: 'error',
    comment: 'A library is used through its index.ts alone: export what you need there, or ask whether it is yours to use.',
    from: { path: OWN_FOLDER },
    to: { path: '^libs/', pathNot: ['^$1/', INDEX] },
  },
  {
    name: 'library-by-path',
    severity: 'error',
    comment: "Import a library by its name ('#sync'), not by a path: the name resolves in the sources and in the build alike.",
    from: { path: OWN_FOLDER },
    to: { path: INDEX, pathNot: '^$1/', dependencyTypesNot: ['aliased-subpath-import'] },
  },
  {
    name: 'libraries-never-apps',
    severity: 'error',
    comment: 'Apps compose libraries, never the other way round.',
    from: { path: '^libs/' },
    to: { path: '^apps/' },
  },
  {
    name: 'server-imports',
    severity: 'error',
    comment: 'The server is what gets deployed: it must not carry another app with it.',
    from: { path: '^apps/server/' },
    to: { path: '^apps/', pathNot: '^apps/server/' },
  },
  {
    name: 'standalone-imports',
    severity: 'error',
    comment: "The standalone only puts real parts under the server: it needs the server's index and libs/config.",
    from: { path: '^apps/standalone/' },
    to: { path: '^(?:apps|libs)/', pathNot: ['^apps/standalone/', '^apps/server/src/index\\.ts$', '^libs/config/'] },
  },
  {
    name: 'cli-imports',
    severity: 'error',
    comment: 'The command line needs libraries alone: a command must not carry the server with it.',
    from: { path: '^apps/cli/' },
    to: { path: '^apps/', pathNot: '^apps/cli/' },
  },
  {
    name: 'production-never-tests',
    severity: 'error',
    comment: 'What runs in production holds no test hook and no benchmark.',
    from: { path: '^(?:apps|libs)/', pathNot: SPEC },
    to: { path: ['^(?:test|bench)/', SPEC] },
  },
  {
    name: 'no-cycle',
    severity: 'error',
    comment: 'Files in a cycle can only be understood, and initialised, together. Types count: moving the type is what shows its owner.',
    from: {},
    to: { circular: true },
  },
  {
    name: 'production-never-dev-dependencies',
    severity: 'error',
    comment: 'Absent from the image (npm ci --omit=dev). Types of @types packages are gone by then.',
    from: { path: '^(?:apps|libs)/', pathNot: SPEC },
    to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['npm'], pathNot: 'node_modules/@types/' },
  },
  {
    name: 'unresolvable',
    severity: 'error',
    comment: 'An import that resolves to nothing is invisible to every other rule.',
    from: {},
    to: { couldNotResolve: true },
  },
];

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: rules,
  options: {
    doNotFollow: { path: 'node_modules' },
    // Type-only imports are dependencies of the design too.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      // package.json's "imports" lead to the sources under the condition "source".
      conditionNames: ['source', 'import', 'require', 'node', 'default', 'types'],
    },
  },
};
