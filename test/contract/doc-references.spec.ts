import { expect, test } from '@jest/globals';
import { brokenComments, brokenReferences, readRepository, readSources } from './doc-references.js';

const repository = readRepository();

test('every link, path, file name and npm script in the documents exists', () => {
  expect(repository.documents.length).toBeGreaterThan(20);
  expect(brokenReferences(repository.documents, repository)).toEqual([]);
});

test('every document, decision, file and npm script that a comment mentions exists', () => {
  const sources = readSources(repository);
  expect(sources.length).toBeGreaterThan(200);
  expect(brokenComments(sources, repository)).toEqual([]);
});

test.each<[string, string]>([
  ['a link to a missing page', '[x](missing.md)'],
  ['a link to a missing heading', '[x](architecture.md#missing)'],
  ['a link to a missing heading of the page itself', '# There\n[x](#missing)'],
  ['a path that does not exist', 'See `libs/sync/src/missing.ts`.'],
  ['a folder that does not exist', 'libs/missing holds it'],
  ['a built file without a source', 'node dist/apps/cli/src/missing.js'],
  ['a pattern that matches nothing', 'libs/sync/src/*.missing'],
  ['a file name that no file has', 'see `missing.ts`'],
  ['an npm script that package.json lacks', 'npm run missing'],
])('%s is reported', (_, text) => {
  const broken = brokenReferences([{ path: 'docs/page.md', text }], repository);
  expect([...new Set(broken)]).toEqual([expect.stringMatching(/^docs\/page\.md: there is no .*missing/)]);
});

test.each<[string, string]>([
  ['a page that does not exist', `/** See docs/missing.md. */`],
  ['a decision that does not exist', `// (ADR 9999)`],
  ['a file that does not exist', '  x(); // as libs/missing/src/x.ts does'],
  ['an npm script that package.json lacks', '# `npm run missing`'],
])('%s is reported when a comment mentions it', (_, text) => {
  expect(brokenComments([{ path: 'libs/x.ts', text }], repository)).toEqual([expect.stringMatching(/missing|9999/)]);
});

test('references that lead somewhere are not reported', () => {
  const text = `# Two words
    [x](../README.md) [y](architecture.md#overview) [z](#two-words) [w](https://example.com/x.md)
    \`libs/sync/src/*.spec.ts\` libs/… \`checkpoint.ts\` npm run --silent build`;
  expect(brokenReferences([{ path: 'docs/page.md', text }], repository)).toEqual([]);
});
