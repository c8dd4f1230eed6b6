import { CANARY_EMAIL } from '#events';
import type { Evidence } from './evidence.js';
import { effectsNotInLog, idsInLog } from './explain.js';

export interface Check {
  readonly name: string;
  /** Returns the violations, one line each; an empty list when the check holds. */
  readonly violations: (evidence: Evidence) => string[];
}

const MAX_HEAP_BYTES = 256 * 1024 * 1024;

/** Conditions that must hold after every run. */
export const CHECKS: readonly Check[] = [
  {
    name: 'no acknowledged write is lost',
    violations: ({ operations, log }) => effectsNotInLog(operations, log),
  },
  {
    name: 'every write that got a 2xx is committed',
    violations: ({ operations, log }) =>
      effectsNotInLog(
        operations.filter(({ by }) => by === 'api'),
        log,
      ),
  },
  {
    name: 'no refused or rolled back operation has an effect',
    violations: ({ operations, log }) => {
      const ids = idsInLog(log);
      return operations
        .filter(({ outcome, id }) => outcome === 'fail' && ids.has(id))
        .map(({ id, what, why }) => `${what} ${id} failed with ${why}, but the log has it`);
    },
  },
  {
    name: 'the final rows of DB1 match the log',
    violations: ({ log, db1 }) => {
      const last = lastChanges(log);
      const live = new Map(db1.map((row) => [row.email, row.version]));
      const wrong = [...last].filter(
        ([email, { operation, version }]) => live.get(email) !== (operation === 'deleted' ? undefined : version),
      );
      return [
        ...wrong.map(
          ([email, { operation, version }]) =>
            `${email}: the log ends with ${operation} ${version}, the row has ${live.get(email) ?? 'gone'}`,
        ),
        ...db1.filter(({ email }) => !last.has(email)).map(({ email }) => `${email}: the row is not in the log`),
      ];
    },
  },
  {
    name: 'the system recovers in time',
    violations: ({ notRecovered }) => [...notRecovered],
  },
  {
    name: 'both databases are equal',
    violations: ({ db1, db2 }) => [...onlyIn('DB1', db1, db2), ...onlyIn('DB2', db2, db1)],
  },
  {
    name: 'no deleted row is alive',
    violations: ({ log, db2 }) => {
      const last = lastChanges(log);
      return db2
        .filter(({ email }) => last.get(email)?.operation === 'deleted')
        .map(({ email, version }) => `${email} is alive at version ${version}`);
    },
  },
  {
    name: 'DB2 has only versions that DB1 had',
    violations: ({ log, stored }) => {
      const had = new Set(log.map(({ email, version }) => `${email} ${version}`));
      // A backfill copies all rows with the version of a change of the canary.
      const labels = new Set(log.filter(({ email }) => email === CANARY_EMAIL).map(({ version }) => version));
      return stored
        .filter(({ version }) => !labels.has(version))
        .map(({ email, version }) => `${email} ${version}`)
        .filter((row) => !had.has(row));
    },
  },
  {
    name: 'versions in DB2 never went down',
    violations: ({ setbacks }) => setbacks.map(({ email, before, after }) => `${email}: ${before}, then ${after ?? 'deleted'}`),
  },
  {
    name: 'duplicates change no row',
    violations: ({ stored, storedAfterReplay }) => {
      const after = new Map(storedAfterReplay.map((row) => [row.email, row]));
      const before = new Set(stored.map(({ email }) => email));
      return [
        ...stored
          .filter(({ email, place }) => after.get(email)?.place !== place)
          .map(({ email, version }) => `${email} was written again: ${version}, then ${after.get(email)?.version ?? 'gone'}`),
        ...storedAfterReplay.filter(({ email }) => !before.has(email)).map(({ email }) => `${email} was not there before`),
      ];
    },
  },
  {
    name: 'every change is on the topic',
    violations: ({ log, topic, unpublishable }) => {
      const there = new Set([...topic.map(({ version }) => version), ...unpublishable]);
      return log.filter(({ version }) => !there.has(version)).map(({ email, version }) => `${email} ${version} is missing`);
    },
  },
  {
    name: 'the stored checkpoint is never ahead of the topic',
    violations: ({ published, log, topic, unpublishable }) => {
      const first = new Map<number, { partition: number; offset: number }>();
      for (const { version, partition, offset } of topic) {
        if (version !== undefined && (first.get(version)?.offset ?? Infinity) > offset) first.set(version, { partition, offset });
      }
      const known = new Set(unpublishable);
      return published.flatMap(({ snapshot, ends }, sample) => {
        if (snapshot === undefined) return [];
        const sees = visibleIn(snapshot);
        return log
          .filter(({ txid, version }) => sees(txid) && !known.has(version))
          .filter(({ version }) => !((first.get(version)?.offset ?? Infinity) < (ends.get(first.get(version)?.partition ?? -1) ?? 0)))
          .map(({ email, version }) => `sample ${sample}: ${email} ${version} counts as published, but was not on the topic`);
      });
    },
  },
  {
    name: 'the slot is never ahead of the stored checkpoint',
    violations: ({ published, slotWasLost }) =>
      slotWasLost
        ? []
        : published
            .filter(({ slot, checkpoint }) => slot !== undefined && checkpoint !== undefined && slot > checkpoint)
            .map(({ slot, checkpoint }) => `the slot was at ${slot}, the checkpoint at ${checkpoint}`),
  },
  {
    name: 'committed offsets are never ahead of DB2',
    violations: ({ applied }) =>
      applied
        .filter(({ committed, furthest }) => committed > (furthest ?? -1) + 1)
        .map(({ partition, committed, furthest }) => `partition ${partition}: ${committed} committed, ${furthest ?? 'nothing'} applied`),
  },
  {
    name: 'exactly the poison records are dead letters',
    violations: ({ topic, letters }) => {
      const at = ({ partition, offset }: { partition: number; offset: number }): string => `${partition}/${offset}`;
      const poison = new Set(topic.filter(({ version }) => version === undefined).map(at));
      const deadLetters = new Set(letters.map(at));
      return [
        ...[...poison].filter((place) => !deadLetters.has(place)).map((place) => `the poison record at ${place} is not a dead letter`),
        ...letters
          .filter((letter) => !poison.has(at(letter)))
          .map((letter) => `the change at ${at(letter)} became a dead letter (${letter.error_class})`),
      ];
    },
  },
  {
    name: 'no row had to be repaired',
    violations: ({ passes, log }) => [
      ...passes.filter(({ repaired }) => repaired > 0).map(({ reason, repaired }) => `${repaired} rows after "${reason}"`),
      ...log.filter(({ operation }) => operation === 'resynced').map(({ email, version }) => `${email} was resynced at ${version}`),
    ],
  },
  {
    name: 'no gap is falsely reported',
    violations: ({ passes }) => passes.map(({ reason }) => `all rows were compared because of "${reason}"`),
  },
  {
    name: 'memory is bounded',
    violations: ({ peakHeap }) => (peakHeap > MAX_HEAP_BYTES ? [`a process had ${peakHeap} bytes of heap in use`] : []),
  },
  {
    name: 'no process ends by itself',
    violations: ({ exits }) => exits.map(({ member, how, lastWords }) => `${member} ended with ${how}: …${lastWords}`),
  },
];

function lastChanges(log: Evidence['log']): Map<string, Evidence['log'][number]> {
  const last = new Map<string, Evidence['log'][number]>();
  for (const change of log) if ((last.get(change.email)?.version ?? 0) < change.version) last.set(change.email, change);
  return last;
}

function onlyIn(name: string, rows: Evidence['db1'], others: Evidence['db1']): string[] {
  const texts = new Set(others.map(({ text }) => text));
  return rows.filter(({ text }) => !texts.has(text)).map(({ text }) => `only in ${name}: ${text}`);
}

/** Returns a predicate that works like pg_visible_in_snapshot; `snapshot` is `xmin:xmax:xip,…`. */
function visibleIn(snapshot: string): (txid: number) => boolean {
  const [xmin, xmax, running] = snapshot.split(':') as [string, string, string];
  const open = new Set(running.split(',').filter(Boolean).map(Number));
  return (txid) => txid < Number(xmin) || (txid < Number(xmax) && !open.has(txid));
}
