/**
 * Rules for imports, by folder (docs/architecture.md). Each rule has a deliberate violation in test/boundaries/boundaries.spec.ts, which fails
 * when a rule is added without one.
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
  audit: ['config', 'http', 'observability', 'postgres'],
  auth: ['audit', 'config', 'http', 'postgres'],
  subscriptions: ['config', 'events', 'http', 'observability', 'postgres'],
  'import-export': ['audit', 'config', 'events', 'http', 'observability', 'postgres', 'subscriptions'],
  'change-feed': ['change-log', 'config', 'events', 'http', 'observability', 'postgres', 'subscriptions'],
  'replication-status': ['change-log', 'config', 'events', 'http', 'kafka', 'observability', 'postgres', 'subscriptions'],
  sync: ['change-log', 'config', 'events', 'kafka', 'observability', 'postgres'],
  replica: ['audit', 'config', 'events', 'http', 'kafka', 'observability', 'postgres'],
  reconciliation: ['audit', 'change-log', 'config', 'events', 'http', 'kafka', 'observability', 'postgres', 'replica', 'schema', 'sync'],
  erasure: [
    ...['audit', 'change-log', 'config', 'events', 'http', 'import-export', 'kafka', 'observability', 'postgres'],
    ...['reconciliation', 'replica', 'subscriptions', 'sync'],
  ],
};

const INDEX = '^libs/[^/]+/src/index\\.ts$';
const SPEC = '\\.spec\\.ts$';
/** Captures the library or app (`libs/sync`), or the folder around them. Used as $1 in `to`. */
const OWN_FOLDER = '^((?:apps|libs)/[^/]+|test|bench)/';

function libraryRule([name, allowed]) {
  return {
    name: `${name}-imports`,
    severity: 'error',
    comment: `libs/${name} may import ${allowed.length > 0 ? `libs ${allowed.join(', ')}` : 'no library'} (.dependency-cruiser.cjs has the table).`,
    from: { path: `^libs/${name}/` },
    to: { path: '^libs/', pathNot: `^libs/(?:${[name, ...allowed].join('|')})/` },
  };
}

const rules = [
  ...Object.entries(LIBRARIES).map(libraryRule),
  {
    name: 'library-not-in-the-table',
    severity: 'error',
    comment: 'A library that is not listed in LIBRARIES could import anything.',
    from: { path: '^libs/', pathNot: `^libs/(?:${Object.keys(LIBRARIES).join('|')})/` },
    to: {},
  },
  {
    name: 'library-inside',
    severity: 'error',
    comment: 'A library is used through its index.ts only. Export what is needed there, or decide that it is internal.',
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
    comment: 'Apps compose libraries. A library does not know the apps.',
    from: { path: '^libs/' },
    to: { path: '^apps/' },
  },
  {
    name: 'server-imports',
    severity: 'error',
    comment: 'The server is what is deployed. It must not include another app.',
    from: { path: '^apps/server/' },
    to: { path: '^apps/', pathNot: '^apps/server/' },
  },
  {
    name: 'standalone-imports',
    severity: 'error',
    comment:
      "The standalone starts databases and Kafka for the server. It needs the server's index, libs/config and, to check servers that run elsewhere, how to connect to them.",
    from: { path: '^apps/standalone/' },
    to: { path: '^(?:apps|libs)/', pathNot: ['^apps/standalone/', '^apps/server/src/index\\.ts$', '^libs/(config|postgres|kafka)/'] },
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
    comment: 'Production code contains no test hook and no benchmark.',
    from: { path: '^(?:apps|libs)/', pathNot: SPEC },
    to: { path: ['^(?:test|bench)/', SPEC] },
  },
  {
    name: 'no-cycle',
    severity: 'error',
    comment: 'Files in a cycle can only be understood and initialised together. Types count, because moving a type shows its owner.',
    from: {},
    to: { circular: true },
  },
  {
    name: 'production-never-dev-dependencies',
    severity: 'error',
    comment: 'Development dependencies are not in the image (npm ci --omit=dev). Types of @types packages are erased by then.',
    from: { path: '^(?:apps|libs)/', pathNot: SPEC },
    to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['npm'], pathNot: 'node_modules/@types/' },
  },
  {
    name: 'unresolvable',
    severity: 'error',
    comment: 'No other rule sees an import that cannot be resolved.',
    from: {},
    to: { couldNotResolve: true },
  },
];

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: rules,
  options: {
    doNotFollow: { path: 'node_modules' },
    // Type-only imports are dependencies of the design, too.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      // The condition "source" resolves package.json's "imports" to the sources.
      conditionNames: ['source', 'import', 'require', 'node', 'default', 'types'],
    },
  },
};
