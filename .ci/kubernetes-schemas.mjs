import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';

/** Compiler of the schemas of each folder, and what it has compiled, by path. */
const compilers = new Map();
const validators = new Map();

/**
 * Validates objects with the strict JSON schemas of Kubernetes in a folder, which refuse unknown fields.
 * @returns the errors, and the kinds that Kubernetes itself does not have, such as those of an operator.
 */
export function schemaErrors(objects, folder) {
  const errors = [];
  const unknown = new Set();
  for (const object of objects) {
    const validate = validatorOf(object, folder);
    if (validate === undefined) unknown.add(object.kind);
    else if (!validate(object)) errors.push(...validate.errors.map((error) => describe(object, error)));
  }
  return { errors: [...new Set(errors)], unknown: [...unknown] };
}

function validatorOf({ apiVersion, kind }, folder) {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : [undefined, apiVersion];
  const name = [kind, ...(group === undefined ? [] : [group.split('.')[0]]), version].join('-').toLowerCase();
  const path = join(folder, `${name}.json`);
  if (!existsSync(path)) return undefined;
  if (!validators.has(path)) validators.set(path, compilerOf(folder).compile(read(path)));
  return validators.get(path);
}

function compilerOf(folder) {
  if (!compilers.has(folder)) {
    const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
    // The schemas refer to it by this path.
    ajv.addSchema(read(join(folder, '_definitions.json')), '/api/_definitions.json');
    compilers.set(folder, ajv);
  }
  return compilers.get(folder);
}

function read(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

function describe({ kind, metadata }, { instancePath, message, params }) {
  const extra = params.additionalProperty === undefined ? '' : ` (${params.additionalProperty})`;
  return `${kind} ${metadata?.name}: ${instancePath || '/'} ${message}${extra}`;
}
