/** What is generated from the Helm chart and committed: the table of values in its README, and the kustomize base. */
import { isMap, parseAllDocuments, parseDocument, stringify } from 'yaml';

/** The README's generated part begins with this heading. */
const VALUES_HEADING = '\n## Values\n';
/** Roles have the same values. They are explained once, in the section of the API. */
const EXPLAINED_ROLE = 'api';

/** Replaces the part of the README that lists the values, with their comments in values.yaml as explanations. */
export function withValuesTable(readme, valuesYaml) {
  const values = readValues(valuesYaml);
  const commentOf = new Map(values.map(({ path, comment }) => [path, comment]));
  const sections = new Map([['General', []]]);
  for (const { path, comment, text } of values) {
    const [part, ...rest] = path.split('.');
    const section = rest.length > 0 || text === undefined ? part : 'General';
    if (!sections.has(section)) sections.set(section, []);
    // The comment of a part stands below its heading.
    if (rest.length === 0 && text === undefined) sections.get(section).push(comment === undefined ? '' : `${comment}\n`);
    if (text === undefined) continue;
    const explanation = comment ?? (commentOf.get([EXPLAINED_ROLE, ...rest].join('.')) && `As for \`${EXPLAINED_ROLE}\`.`);
    if (explanation === undefined) throw new Error(`values.yaml: ${path} needs a comment, which becomes its explanation in the README`);
    sections.get(section).push(`| \`${path}\` | \`${text}\` | ${explanation.replaceAll('|', '\\|')} |`);
  }
  const text = [...sections].map(([title, lines]) => {
    const rows = lines.filter((line) => line.startsWith('|'));
    const prose = lines.filter((line) => line !== '' && !line.startsWith('|'));
    return [`### ${title}\n`, ...prose, '| value | default | |\n|---|---|---|', ...rows].join('\n');
  });
  return `${readme.split(VALUES_HEADING)[0]}${VALUES_HEADING}\n${text.join('\n\n')}\n`;
}

/** Returns each value with its path, its comment and its text. Parts, which have values of their own, have no text. */
function readValues(valuesYaml) {
  const values = [];
  const read = (map, prefix) => {
    for (const [index, { key, value }] of map.items.entries()) {
      const path = `${prefix}${key.value}`;
      // The comment before the first value of a map belongs to the map.
      const comment = (key.commentBefore ?? (index === 0 ? map.commentBefore : undefined))?.trim().replaceAll(/\s*\n\s*/g, ' ');
      const isPart = isMap(value) && !value.flow;
      values.push({ path, comment, text: isPart ? undefined : valuesYaml.slice(value.range[0], value.range[1]).trim() });
      if (isPart) read(value, `${path}.`);
    }
  };
  read(parseDocument(valuesYaml).contents, '');
  return values;
}

const GENERATED = '# Generated from the Helm chart: change that, then run `npm run test:chart -- --write`.\n';
/** ConfigMap of the settings in the kustomize base. kustomize gives it a name with a checksum, so that a change of it replaces the pods. */
const SETTINGS = 'subscription-sync-settings';
/** Labels that say that Helm installed an object. */
const HELM_LABELS = ['helm.sh/chart', 'app.kubernetes.io/managed-by'];
/** Environment variables that differ between the roles, or that name files. */
const OWN_VARIABLE = /^(?:ROLES|PORT|NODE_OPTIONS|.*_FILE)$/;

/** Returns the files of the kustomize base by name: what `helm template` printed, with the settings in a ConfigMap that overlays extend. */
export function kustomizeBase(rendered) {
  const settings = {};
  const files = {};
  for (const text of rendered.split(/^---$/m)) {
    const template = /^# Source: .*\/([\w-]+\.yaml)$/m.exec(text)?.[1];
    if (template === undefined) continue;
    const document = parseDocument(text.replace(/^# Source: .*\n/m, ''));
    for (const labels of [
      ['metadata', 'labels'],
      ['spec', 'template', 'metadata', 'labels'],
    ]) {
      for (const label of HELM_LABELS) if (document.hasIn([...labels, label])) document.deleteIn([...labels, label]);
    }
    if (document.get('kind') === 'Job') document.setIn(['metadata', 'name'], document.getIn(['metadata', 'name']).replace(/-\d+$/, ''));
    const container = document.getIn(['spec', 'template', 'spec', 'containers', 0]);
    if (container !== undefined) moveSettings(document, container, settings);
    // Versions of Helm differ in empty lines.
    const body = document
      .toString({ lineWidth: 0 })
      .trim()
      .replaceAll(/\n\s*\n/g, '\n');
    files[template] = files[template] === undefined ? `${GENERATED}${body}\n` : `${files[template]}---\n${body}\n`;
  }
  const resources = Object.keys(files).toSorted();
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  files['settings.env'] = `${GENERATED}${lines.toSorted().join('\n')}\n`;
  files['kustomization.yaml'] = `${GENERATED}${stringify({
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources,
    configMapGenerator: [{ name: SETTINGS, envs: ['settings.env'] }],
  })}`;
  return files;
}

/** Moves the settings that all containers share from the container's environment to `settings`. */
function moveSettings(document, container, settings) {
  const env = container.get('env');
  for (const { name, value } of env.toJSON().filter(({ name }) => !OWN_VARIABLE.test(name))) {
    if ((settings[name] ??= value) !== value)
      throw new Error(`${name} differs between the roles: the kustomize base has one ConfigMap of settings`);
  }
  env.items = env.items.filter((variable) => OWN_VARIABLE.test(variable.get('name')));
  container.set('envFrom', document.createNode([{ configMapRef: { name: SETTINGS } }]));
}

/** Returns the objects that `helm template` or `kubectl kustomize` printed. */
export function objectsIn(rendered) {
  return parseAllDocuments(rendered)
    .map((document) => document.toJSON())
    .filter((object) => object !== null);
}
