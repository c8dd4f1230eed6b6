import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path/posix';

/** A text file of the repository. Its path is relative to the root, with `/`. */
export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/** Contents of the repository to which a text may refer. */
export interface Repository {
  /** Paths of all files. */
  readonly files: readonly string[];
  /** Names of the scripts in package.json. */
  readonly scripts: readonly string[];
  /** The Markdown documents: README.md and docs/. */
  readonly documents: readonly TextFile[];
}

/** Folders whose paths are checked wherever a text names one. */
const ROOTS = ['.ci', 'apps', 'bench', 'docker', 'docs', 'libs', 'test'];
const CODE = /\.(?:ts|mjs|cjs|js|sql|py)$/;
/** The spec of this file, whose examples lead nowhere. */
const OWN_SPEC = 'test/contract/doc-references.spec.ts';
/** A path in one of {@link ROOTS}. `dist/…` is the build's output, which mirrors the sources. */
const PATH = new RegExp(`(?<![\\w/.-])(?:dist/)?(?:${ROOTS.map((root) => root.replace('.', '\\.')).join('|')})/[\\w./*-]*\\w`, 'g');
/** A file named without its folder, such as checkpoint.ts. */
const BARE_FILE = /(?<![\w/*.-])[a-z][\w.-]*\.(?:ts|mjs|sql)(?!\w)/g;
const SCRIPT = /\bnpm run (?:--silent |-s )?([a-z][\w:-]*)/g;
const LINK = /\]\(([^)\s]+)\)/g;
const DOCUMENT = /(?<![\w/.-])[\w./-]+\.md\b/g;
/** A comment of TypeScript, JavaScript, SQL, Python or an env file, a line at a time. */
const COMMENT = /^\s*(?:\/\*\*?|\*|\/\/|--|#).*$|\s\/\/ .*$/gm;

export function readRepository(): Repository {
  const files = [
    ...readdirSync('.', { withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [entry.name] : [])),
    ...ROOTS.flatMap((folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) => join(folder, path))),
  ].filter((path) => statSync(path).isFile());
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: object };
  const documents = files.filter((path) => path === 'README.md' || /^docs\/.*\.md$/.test(path)).map(read);
  return { files, scripts: Object.keys(scripts), documents };
}

/** Reads every code and settings file, whose comments may refer to a document or to another file. */
export function readSources({ files }: Repository): TextFile[] {
  return files.filter((path) => (CODE.test(path) && path !== OWN_SPEC) || path === '.env.example').map(read);
}

/** Returns the references of `documents` that lead nowhere, one line each: links and their anchors, paths, file names, npm scripts. */
export function brokenReferences(documents: readonly TextFile[], repository: Repository): string[] {
  const known = namesOf({ ...repository, documents: [...repository.documents, ...documents] });
  return documents.flatMap(({ path, text }) => [
    ...[...text.matchAll(LINK)].flatMap(([, link]) => brokenLink(path, link!, known)),
    ...missingNames(text, known).map((name) => `${path}: there is no ${name}`),
  ]);
}

/** Returns what the comments of `sources` refer to and does not exist, one line each: documents, decisions (ADR 4), paths, scripts. */
export function brokenComments(sources: readonly TextFile[], repository: Repository): string[] {
  const known = namesOf(repository);
  return sources.flatMap(({ path, text }) => {
    const comments = [...text.matchAll(COMMENT)].map(([comment]) => comment).join('\n');
    const documents = [...comments.matchAll(DOCUMENT)].map(([name]) => name).filter((name) => !known.paths.has(name));
    const decisions = [...comments.matchAll(/\bADRs? (\d+)/g)].filter(([, number]) => !known.decisions.has(Number(number)));
    return [...new Set([...documents, ...decisions.map(([name]) => name), ...missingNames(comments, known)])].map(
      (name) => `${path}: there is no ${name}`,
    );
  });
}

interface KnownNames {
  /** Files and folders. */
  readonly paths: ReadonlySet<string>;
  readonly fileNames: ReadonlySet<string>;
  readonly scripts: ReadonlySet<string>;
  /** Anchors of each document. */
  readonly anchors: ReadonlyMap<string, ReadonlySet<string>>;
  readonly decisions: ReadonlySet<number>;
}

function namesOf({ files, scripts, documents }: Repository): KnownNames {
  const paths = [...files, ...documents.map(({ path }) => path)];
  return {
    paths: new Set([...paths, ...paths.flatMap(parentsOf)]),
    fileNames: new Set(paths.map((path) => basename(path))),
    scripts: new Set(scripts),
    anchors: new Map(documents.map(({ path, text }) => [path, anchorsOf(text)])),
    decisions: new Set(paths.flatMap((path) => /^docs\/adr\/(\d{4})-/.exec(path)?.[1] ?? []).map(Number)),
  };
}

function brokenLink(path: string, link: string, { paths, anchors }: KnownNames): string[] {
  if (/^[a-z]+:/.test(link)) return [];
  const [file = '', anchor] = link.split('#');
  const target = file === '' ? path : join(dirname(path), file);
  if (!paths.has(target)) return [`${path}: there is no ${target}, to which the link ${link} leads`];
  const broken = anchor !== undefined && anchors.get(target)?.has(anchor) !== true;
  return broken ? [`${path}: there is no heading #${anchor} in ${target}`] : [];
}

/** Returns the paths, file names and npm scripts that a text names and that do not exist. */
function missingNames(text: string, { paths, fileNames, scripts }: KnownNames): string[] {
  return [
    ...pathsIn(text).filter((path) => !exists(path, paths)),
    ...[...text.matchAll(BARE_FILE)].map(([name]) => name).filter((name) => !fileNames.has(name)),
    ...[...text.matchAll(SCRIPT)].filter(([, script]) => !scripts.has(script!)).map(([command]) => command),
  ];
}

/** Returns the paths that a text names. An ellipsis or a placeholder (`libs/…`, `libs/<name>`) names none. */
function pathsIn(text: string): string[] {
  return [...text.matchAll(PATH)].filter(({ 0: path, index }) => !/^\/?[<…{$]/.test(text.slice(index + path.length))).map(([path]) => path);
}

function exists(path: string, paths: ReadonlySet<string>): boolean {
  if (path.startsWith('dist/')) return exists(path.slice('dist/'.length).replace(/\.js$/, '.ts'), paths);
  if (!path.includes('*')) return paths.has(path);
  const pattern = new RegExp(`^${path.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`);
  return [...paths].some((file) => pattern.test(file));
}

/** Returns the anchors that GitHub gives to the headings of a document. */
function anchorsOf(text: string): Set<string> {
  const headings = [...text.replaceAll(/^```.*?^```$/gms, '').matchAll(/^#+ (.*)$/gm)];
  const anchors = headings.map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(/\s/g, '-'),
  );
  return new Set(anchors);
}

function parentsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === '.' ? [] : [parent, ...parentsOf(parent)];
}

function read(path: string): TextFile {
  return { path, text: readFileSync(path, 'utf8') };
}
