/** Events of a rollout with their times, printed as they happen. */
export class Timeline {
  readonly lines: string[] = [];
  readonly failures: string[] = [];
  private readonly startedAt = performance.now();

  note(event: string): void {
    const line = `${((performance.now() - this.startedAt) / 1_000).toFixed(1).padStart(6)} s  ${event}`;
    this.lines.push(line);
    console.log(line);
  }

  fail(problem: string): void {
    this.failures.push(problem);
    this.note(`FAILED: ${problem}`);
  }
}
