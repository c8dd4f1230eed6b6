import js from '@eslint/js';
import jest from 'eslint-plugin-jest';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const SPECS = ['**/*.spec.ts'];
/** What people and tests start by hand: their output is the terminal's. */
const TERMINAL = [
  'apps/standalone/**',
  'bench/**',
  'test/harness/**',
  'test/nemesis/**',
  'test/contract/**',
  'test/conformance/**',
  '.ci/**',
];

/** A note to self without an issue is forgotten, so it reads `TODO(#12): why`. */
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
      },
    },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      // `default` does not excuse a forgotten case: a new operation or failure kind must be decided wherever it is switched on.
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true }],
      // Nest's modules are empty classes with a decorator.
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
      // Nest declares the options it takes as classes, and kafkajs's enums a second time; both are given as plain values.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
      // Numbers, bigints and booleans print as one expects. The rule is for undefined and [object Object].
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // `() => socket.destroy()` reads better than a block.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // Narrowing survives an await: a loop's second look at signal.aborted would count as unnecessary, and must stay.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // noUncheckedIndexedAccess can't see a bounds check, nor that a query has always one row. `!` says that somebody has.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // `async` without `await` turns a throw into a rejection, which is what the callers of an async interface expect.
      '@typescript-eslint/require-await': 'off',
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
      // Helpers that assert are called expect…; fast-check's assert and supertest's expect count as they are.
      'jest/expect-expect': ['error', { assertFunctionNames: ['expect', 'expect*', 'fc.assert', '**.expect'] }],
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
      // Bodies of HTTP answers and rows of raw SQL are any; a wrong guess fails the test anyway.
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
);
