import js from '@eslint/js';
import jest from 'eslint-plugin-jest';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const SPECS = ['**/*.spec.ts'];
/** Programs that are started from a terminal and print to it. */
const TERMINAL = [
  'apps/standalone/**',
  'bench/**',
  'test/harness/**',
  'test/dashboard/**',
  'test/nemesis/**',
  'test/rollout/**',
  'test/versions/**',
  'test/contract/**',
  'test/conformance/**',
  '.ci/**',
];

/** Requires notes in comments to name their issue, `TODO(#12): why`, because a note without an issue is forgotten. */
const todoNamesItsIssue = {
  meta: { type: 'problem', schema: [], messages: { issue: '{{word}} must name its issue: {{word}}(#12)' } },
  create(context) {
    return {
      Program() {
        for (const comment of context.sourceCode.getAllComments()) {
          for (const [word] of comment.value.matchAll(/\b(?:TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))/g)) {
            context.report({ loc: comment.loc, messageId: 'issue', data: { word } });
          }
        }
      },
    };
  },
};

const TIMEOUT_IN_ANY = {
  selector: "CallExpression[callee.object.name='AbortSignal'][callee.property.name='any'] CallExpression[callee.property.name='timeout']",
  message: 'Node 20 may collect this timeout as garbage, and it never fires. Abort an AbortController by setTimeout.',
};

export default defineConfig(
  globalIgnores(['dist/', 'coverage/', '.data/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error', reportUnusedInlineConfigs: 'error' } },
  js.configs.recommended,
  {
    plugins: { local: { rules: { 'todo-names-its-issue': todoNamesItsIssue } } },
    rules: {
      'local/todo-names-its-issue': 'error',
      eqeqeq: 'error',
      // Logs go through pino, which redacts (libs/observability).
      'no-console': 'error',
    },
  },
  {
    files: ['**/*.{js,cjs,mjs}'],
    languageOptions: {
      globals: {
        console: 'readonly',
        process: 'readonly',
        performance: 'readonly',
        module: 'writable',
        URL: 'readonly',
        fetch: 'readonly',
        structuredClone: 'readonly',
      },
    },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'no-restricted-syntax': ['error', TIMEOUT_IN_ANY],
      'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      // A `default` does not replace a case: every switch must handle a new operation or failure action.
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true }],
      // Nest's modules are empty classes with a decorator.
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
      // Nest declares its options as classes, and kafkajs's enums a second time. Both are passed as plain values.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
      // Numbers, bigints and booleans print as expected. The rule is against undefined and [object Object].
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // `() => socket.destroy()` reads better than a block.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // Narrowing survives an await, so the rule would report a loop's second check of signal.aborted, which is necessary.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // noUncheckedIndexedAccess does not see a bounds check, or that a query always returns one row. `!` states that it was checked.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // `async` without `await` turns an exception into a rejection, which callers of an async interface expect.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['{apps,libs}/**/*.ts'],
    ignores: SPECS,
    rules: {
      'no-restricted-syntax': [
        'error',
        TIMEOUT_IN_ANY,
        ...["callee.object.name='logger'", 'callee.object.property.name=/^(logger|log)$/', "callee.object.callee.name='Logger'"].map(
          (logger) => ({
            selector: `CallExpression[${logger}][callee.property.name=/^(log|warn|error|fatal)$/][arguments.0.type!='ObjectExpression']`,
            message: 'Log an event with a stable code: { code, message }. The runbook lists the codes.',
          }),
        ),
      ],
    },
  },
  {
    files: ['{apps,libs}/**/*.ts'],
    ignores: ['libs/config/**'],
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: 'libs/config is the only reader of the environment.' },
        { object: 'globalThis', property: 'process', message: 'Use process; libs/config is the only reader of its environment.' },
      ],
      'no-restricted-imports': [
        'error',
        ...['process', 'node:process'].map((name) => ({
          name,
          importNames: ['env', 'default'],
          message: 'libs/config reads the environment.',
        })),
      ],
    },
  },
  { files: TERMINAL, rules: { 'no-console': 'off' } },
  {
    files: SPECS,
    plugins: { jest },
    rules: {
      // Helpers that assert are named expect…. fast-check's assert and supertest's expect count too.
      'jest/expect-expect': ['error', { assertFunctionNames: ['expect', 'expect*', 'fc.assert', '**.expect', 'victim.expect*'] }],
      'jest/no-disabled-tests': 'error',
      'jest/no-focused-tests': 'error',
      'jest/no-identical-title': 'error',
      'jest/no-standalone-expect': 'error',
      'jest/valid-expect': 'error',
      'jest/valid-expect-in-promise': 'error',
    },
  },
  {
    files: ['test/**', ...SPECS],
    rules: {
      // Bodies of HTTP responses and rows of raw SQL have the type any. A wrong assumption about them fails the test anyway.
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
);
