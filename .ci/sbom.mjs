/**
 * Prints the software bill of materials of production as CycloneDX JSON: `npm run --silent sbom > sbom.cdx.json`.
 *
 * `npm sbom --omit=dev` leaves out packages that a development dependency needs, too (rxjs, pg-types). It is therefore run on a copy of
 * package.json and package-lock.json without the development dependencies, and the result is compared with the lock file.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
delete manifest.devDependencies;
delete lock.packages[''].devDependencies;
lock.packages = Object.fromEntries(Object.entries(lock.packages).filter(([, { dev }]) => !dev));

const folder = mkdtempSync(join(tmpdir(), 'sbom-'));
try {
  cpSync('.npmrc', join(folder, '.npmrc'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock));
  const json = execFileSync('npm', ['sbom', '--package-lock-only', '--sbom-format=cyclonedx', '--sbom-type=application'], {
    cwd: folder,
    maxBuffer: 64 * 1024 * 1024,
  });
  const bom = JSON.parse(json);
  bom.metadata.component.name = manifest.name;
  const listed = new Set(bom.components.map((component) => component['bom-ref']));
  const missing = Object.entries(lock.packages)
    .filter(([path]) => path !== '')
    .map(([path, { name, version }]) => `${name ?? path.split('node_modules/').at(-1)}@${version}`)
    .filter((id) => !listed.has(id));
  if (missing.length > 0) throw new Error(`The bill of materials lacks ${missing.join(', ')}`);
  console.log(JSON.stringify(bom, undefined, 2));
} finally {
  rmSync(folder, { recursive: true });
}
