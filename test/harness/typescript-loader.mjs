/**
 * Node's module hooks for the specs: TypeScript by swc, the libraries from their sources, and `@jest/globals` of the file that runs. A
 * module may be imported with a query, which evaluates it again (command-line.ts).
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { transform } from '@swc/core';

const OPTIONS = {
  swcrc: false,
  sourceMaps: 'inline',
  jsc: {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
  },
  module: { type: 'es6' },
};

export async function resolve(specifier, context, next) {
  const parentURL = withoutQuery(context.parentURL ?? '');
  if (specifier === '@jest/globals') {
    // Each importing file gets its own instance, because each spec has its own functions.
    return { url: `${new URL('./jest-globals.mjs', import.meta.url).href}?${encodeURIComponent(parentURL)}`, shortCircuit: true };
  }
  if (parentURL.includes('/node_modules/') || !parentURL.endsWith('.ts')) return resolveSpec(specifier, context, next);
  if (specifier.startsWith('#')) return next(specifier, { ...context, conditions: [...context.conditions, 'source'] });
  if (specifier.startsWith('.') && specifier.endsWith('.js')) {
    const url = new URL(specifier.replace(/\.js$/, '.ts'), parentURL);
    if (existsSync(url)) return { url: url.href, shortCircuit: true };
  }
  return next(specifier, context);
}

function withoutQuery(url) {
  return url.replace(/\?.*$/, '');
}

function resolveSpec(specifier, context, next) {
  return withoutQuery(specifier).endsWith('.ts') ? { url: specifier, shortCircuit: true } : next(specifier, context);
}

export async function load(url, context, next) {
  if (!withoutQuery(url).endsWith('.ts')) return next(url, context);
  const path = fileURLToPath(url);
  const { code } = await transform(await readFile(path, 'utf8'), { ...OPTIONS, filename: path, sourceFileName: path });
  return { format: 'module', source: code, shortCircuit: true };
}
