/**
 * Checks what the service is made of: licences and install scripts of the packages that production needs, packages that it must not have, that
 * container images are named by digest, and that no committed file is binary, because nobody can review one. Reads the checkout in the working
 * directory, without the network.
 *
 * `npm run supply-chain -- --licenses` also lists the packages. With `--release`, an image without a digest is an error.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';

/** SPDX ids of licences that allow to use and to pass on a package with this MIT-licensed service. */
const LICENSES = ['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0', 'ISC', 'MIT', 'Python-2.0'];

/** Packages that must not be there, each with the reason. package.json replaces them by `overrides`. */
const UNWANTED = { '@scarf/scarf': 'it reports each installation to its vendor, and nothing needs it to run' };

/**
 * Images of which no digest could be looked up. `docker buildx imagetools inspect <image>` prints it where there is a network: write it
 * behind the tag, and take the image out of this list. A release must have all of them.
 */
const WITHOUT_DIGEST = ['apache/kafka:4.4.0', 'prom/prometheus:v3.5.0', 'grafana/grafana:12.1.0'];

const DOCKERFILE = 'docker/Dockerfile';
const COMPOSE = 'docker/compose.yaml';

const options = process.argv.slice(2);
const { allowScripts = {} } = readJson('package.json');
const packages = productionPackages(readJson('package-lock.json'));
const problems = [
  ...packages.flatMap(problemsOf),
  ...imagesOf().flatMap((image) => problemsOfImage(image, options.includes('--release'))),
  ...binaryFiles().map((file) => `${file} is not a text: files that are downloaded or built do not belong in the repository`),
];

if (options.includes('--licenses')) {
  for (const { name, version, license } of packages) console.log(`${name}@${version}  ${license}`);
}
for (const problem of problems) console.error(problem);
console.log(`${packages.length} packages of production, ${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`);
process.exitCode = problems.length > 0 ? 1 : 0;

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** Returns the packages that `npm ci --omit=dev` installs. `name` is that of the package, which an override may install in place of another. */
function productionPackages(lock) {
  return Object.entries(lock.packages)
    .filter(([path, { dev }]) => path !== '' && !dev)
    .map(([path, entry]) => ({ ...entry, name: entry.name ?? path.split('node_modules/').at(-1) }));
}

function problemsOf({ name, version, license = 'none', hasInstallScript, optional, integrity }) {
  const title = `${name}@${version}`;
  const mayRun = optional && allowScripts[name] === true;
  return [
    ...(isAllowed(license) ? [] : [`${title} has the licence ${license}, which .ci/supply-chain.mjs does not list`]),
    ...(hasInstallScript && !mayRun ? [`${title} runs a script when it is installed`] : []),
    ...(name in UNWANTED ? [`${title} must not be in production: ${UNWANTED[name]}`] : []),
    ...(integrity?.startsWith('sha512-') ? [] : [`${title} has no SHA-512 in package-lock.json`]),
  ];
}

/** Whether an SPDX expression allows one of the licences. Parentheses are ignored, which never allows more than the expression does. */
function isAllowed(license) {
  const words = String(license).replaceAll(/[()]/g, '');
  return words.split(' AND ').every((part) => part.split(' OR ').some((id) => LICENSES.includes(id.trim())));
}

/** Returns the images of the Dockerfile and the compose file, apart from stages and what is built here. */
function imagesOf() {
  const lines = existsSync(DOCKERFILE) ? readFileSync(DOCKERFILE, 'utf8').split('\n') : [];
  const bases = lines.flatMap((line) => [...line.matchAll(/^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?/gi)]);
  const stages = bases.map(([, , stage]) => stage);
  const services = existsSync(COMPOSE) ? Object.values(parse(readFileSync(COMPOSE, 'utf8')).services ?? {}) : [];
  return [...bases.map(([, image]) => image), ...services.map(({ image }) => image)].filter((image) => image && !stages.includes(image));
}

function problemsOfImage(image, isRelease) {
  if (/^[^@\s]+:[^@\s]+@sha256:[0-9a-f]{64}$/.test(image)) return [];
  if (WITHOUT_DIGEST.includes(image) && !isRelease) return [];
  return [`The image ${image} is not named by tag and digest, as in node:24@sha256:…`];
}

/** Returns the committed files that are not texts. There are none without a repository or without git. */
function binaryFiles() {
  const lines = spawnSync('git', ['ls-files', '--eol'], { encoding: 'utf8' }).stdout?.split('\n') ?? [];
  return lines.filter((line) => line.startsWith('i/-text')).map((line) => line.split('\t')[1]);
}
