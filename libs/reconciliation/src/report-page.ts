import type { DifferenceView, RunView } from './reconciliation.dto.js';
import type { Kind } from './runs.js';

/** How many differences of a cause and state a run has. */
export interface Tally {
  readonly cause: string;
  readonly state: string;
  readonly count: number;
}

/** Differences that the page lists; the API has the others. */
export const LISTED = 500;

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
.verdict { border-left: .4rem solid; padding: .5rem .75rem; margin: 1rem 0; }
.good { border-color: #2e7d32; } .bad { border-color: #c62828; } .open { border-color: #757575; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0; } dt { opacity: .7; } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
td.email { overflow-wrap: anywhere; } td.number, th.number { text-align: right; }
@media (max-width: 40rem) {
  table.rows thead { display: none; } table.rows td { display: inline-block; border: 0; padding: 0 .8rem 0 0; }
  table.rows td.email { display: block; font-weight: 600; } table.rows tr { display: block; padding: .5rem 0; border-bottom: 1px solid #8884; }
}`;

const VERDICTS: Readonly<Record<string, readonly [string, string]>> = {
  equal: ['good', 'Both databases are equal.'],
  repaired: ['good', 'What differed is repaired; both databases are equal.'],
  resynced: ['good', 'All rows were brought to Database 2; both databases are equal.'],
  differs: ['bad', 'Rows differ that were not repaired.'],
  too_many: ['bad', 'More rows differ than may be repaired without asking. Look at the causes, then start a run that repairs them.'],
  cancelled: ['open', 'The run was cancelled.'],
};

/** What a run does before it compares. */
const FIRST: Readonly<Record<Kind, string>> = {
  compare: '',
  resync: 'copy all rows, then ',
  republish: 'publish all rows anew, then ',
};

/** One run as a page of its own: nothing is loaded, no script runs, and it is readable on a phone. */
export function reportPage(run: RunView, tallies: readonly Tally[], differences: readonly DifferenceView[]): string {
  const [mood, verdict] = VERDICTS[run.outcome ?? ''] ?? ['open', run.paused ? 'The run is paused.' : 'The run is under way.'];
  const total = tallies.reduce((sum, { count }) => sum + count, 0);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Run ${run.id}: Database 1 and Database 2</title><style>${STYLE}</style></head><body>
<h1>Run ${run.id}</h1>
<p class="verdict ${mood}">${verdict}</p>
<dl>${facts(run)
    .map(([name, value]) => `<dt>${name}</dt><dd>${escape(value)}</dd>`)
    .join('')}</dl>
${total === 0 ? '' : `<h2>Causes</h2><table><thead><tr><th>Cause</th><th>State</th><th class="number">Rows</th></tr></thead><tbody>${tallies.map(tallyRow).join('')}</tbody></table>`}
${
  differences.length === 0
    ? ''
    : `<h2>Differences${total > differences.length ? `, the newest ${differences.length} of ${total}` : ''}</h2>
<table class="rows"><thead><tr><th>Email</th><th>Cause</th><th>State</th><th class="number">Version in 1</th><th class="number">in 2</th><th>Found</th></tr></thead><tbody>${differences.map(differenceRow).join('')}</tbody></table>`
}
</body></html>
`;
}

function facts(run: RunView): [string, string][] {
  const range =
    run.after_email === '' && run.until_email === null ? 'all' : `above “${run.after_email}” up to ${run.until_email ?? 'the end'}`;
  return [
    ['Asked for by', run.reason],
    ['Does', `${FIRST[run.kind]}${run.repair ? 'compare and repair' : 'compare'}`],
    ['Emails', run.scope === 'changed' ? 'changed since the run before' : range],
    ['Began', run.started_at],
    ['Ended', run.finished_at ?? 'not yet'],
    ['Rows gone over', String(run.compared)],
    ['Differing', String(run.differing)],
    ['Repaired', String(run.repaired)],
    ...(run.outcome === null ? [['In flight', String(run.in_flight)] as [string, string]] : []),
  ];
}

function tallyRow({ cause, state, count }: Tally): string {
  return `<tr><td>${escape(cause)}</td><td>${escape(state)}</td><td class="number">${count}</td></tr>`;
}

function differenceRow(row: DifferenceView): string {
  const version = (value: number | null): string => `<td class="number">${value ?? '–'}</td>`;
  return `<tr><td class="email">${escape(row.email)}</td><td>${escape(row.cause)}</td><td>${escape(row.state)}</td>${version(row.version_in_db1)}${version(row.version_in_db2)}<td>${escape(row.found_at)}</td></tr>`;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}
