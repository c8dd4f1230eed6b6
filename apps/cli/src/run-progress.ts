import type { RunView } from '#reconciliation';

/** Time (ms) whose rows tell the speed: a run pauses while the stream lags, and its speed changes. */
const WINDOW_MS = 30_000;

/** Estimates the time that is left, from the number of rows that are done and of all rows. */
export class TimeLeft {
  private readonly samples: { readonly at: number; readonly done: number }[] = [];

  constructor(private readonly total: number) {}

  /** Returns the seconds that are left, given the rows that are done at a time (ms); undefined while the speed is not known. */
  update(done: number, at: number): number | undefined {
    this.samples.push({ at, done });
    while (this.samples.length > 2 && this.samples[1]!.at <= at - WINDOW_MS) this.samples.shift();
    const first = this.samples[0]!;
    const rate = (done - first.done) / (at - first.at);
    return rate > 0 ? Math.max(0, Math.round((this.total - done) / rate / 1_000)) : undefined;
  }
}

/** Formats a duration (s): 45 s, 3 min 20 s, 2 h 5 min. */
export function formatDuration(seconds: number): string {
  const [h, min, s] = [Math.floor(seconds / 3_600), Math.floor((seconds % 3_600) / 60), Math.round(seconds % 60)];
  if (h > 0) return `${h} h ${min} min`;
  return min > 0 ? `${min} min ${s} s` : `${s} s`;
}

export function formatRun({ id, compared, differing, repaired, ...run }: RunView, total?: number, left?: number): string {
  const of = total === undefined || run.outcome !== null ? '' : ` of ${total}`;
  const rest = left === undefined || run.outcome !== null ? '' : `, about ${formatDuration(left)} left`;
  return `run ${id}: ${compared}${of} compared, ${differing} differing, ${repaired} repaired, ${stateOf(run)}${rest}`;
}

function stateOf({ outcome, paused, yielded }: Pick<RunView, 'outcome' | 'paused' | 'yielded'>): string {
  return outcome ?? (yielded ? 'waiting for a requested run' : paused ? 'paused' : 'under way');
}

const BAR_WIDTH = 30;
/** Returns to the beginning of the line and empties it. */
const CLEAR_LINE = '\r\u001b[K';

/** Draws the share of the rows that are done: `[=========                     ]  30 %`. */
function drawBar(done: number, total: number): string {
  // The number of rows may be an estimate, and rows are added meanwhile.
  const share = total === 0 ? 1 : Math.min(1, done / total);
  return `[${'='.repeat(Math.floor(share * BAR_WIDTH)).padEnd(BAR_WIDTH)}] ${String(Math.floor(share * 100)).padStart(3)} %`;
}

/** The progress of one run: a bar on a terminal, a line for each change elsewhere, and the result as a line on stdout. */
export class RunProgress {
  private readonly timeLeft: TimeLeft | undefined;
  /** The bar is on stderr, so that stdout has the result alone. */
  private readonly drawsBar: boolean;
  private printed: string | undefined;

  /** `total`: number of rows of the run; undefined when it is not known. */
  constructor(
    private readonly total: number | undefined,
    private readonly json: boolean,
  ) {
    this.timeLeft = total === undefined ? undefined : new TimeLeft(total);
    this.drawsBar = !json && process.stderr.isTTY;
  }

  update(run: RunView): void {
    const left = this.timeLeft?.update(run.compared, performance.now());
    const hasEnded = run.outcome !== null || run.paused;
    if (this.drawsBar) {
      const bar = this.total === undefined ? '' : `${drawBar(run.compared, this.total)}  `;
      process.stderr.write(`${CLEAR_LINE}${hasEnded ? '' : `${bar}${formatRun(run, this.total, left)}`}`);
      if (!hasEnded) return;
    }
    const state = `${run.position} ${run.compared}`;
    if (state === this.printed && !hasEnded) return;
    this.printed = state;
    const result = Object.assign({ rows: this.total ?? null, seconds_left: left ?? null }, run);
    process.stdout.write(`${this.json ? JSON.stringify(result) : formatRun(run, this.total, left)}\n`);
  }
}
