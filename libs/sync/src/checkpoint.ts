/**
 * Decides how far the log may be acknowledged: never past a change that Kafka has not acknowledged.
 *
 * Invariants, for any interleaving of the calls:
 * - a commit's position is released only when every change received before it is published;
 * - a keep-alive's position counts as a commit without changes, and is ignored inside a transaction: the server sends a transaction's
 *   changes one by one, and the keep-alives between them point past changes that are still to come;
 * - positions are released in the order in which they were received.
 *
 * Positions are opaque: an LSN in `wal`, a snapshot in `poll`.
 */
export class Checkpoint<Position> {
  private received = 0;
  private acknowledged = 0;
  private inTransaction = false;
  /** Positions that wait until the changes received before them are published, oldest first. */
  private waiting: { readonly after: number; readonly position: Position }[] = [];
  private released: Position | undefined;

  /** Newest position that is safe to store, if there is one. */
  get position(): Position | undefined {
    return this.released;
  }

  /** Number of changes that are received and not published yet. */
  get pending(): number {
    return this.received - this.acknowledged;
  }

  begin(): void {
    this.inTransaction = true;
  }

  receive(): void {
    this.received += 1;
  }

  commit(position: Position): void {
    this.inTransaction = false;
    this.add(position);
  }

  keepAlive(position: Position): void {
    if (!this.inTransaction) this.add(position);
  }

  /** Reports that Kafka has acknowledged the oldest `count` of the pending changes. */
  publish(count: number): void {
    if (count > this.pending) throw new RangeError(`${count} changes published, but only ${this.pending} were pending`);
    this.acknowledged += count;
    this.release();
  }

  private add(position: Position): void {
    const last = this.waiting.at(-1);
    // Keep-alives without changes between them would pile up while Kafka is down.
    if (last?.after === this.received) this.waiting.pop();
    this.waiting.push({ after: this.received, position });
    this.release();
  }

  private release(): void {
    let count = 0;
    while (count < this.waiting.length && this.waiting[count]!.after <= this.acknowledged) count += 1;
    if (count === 0) return;
    this.released = this.waiting[count - 1]!.position;
    this.waiting = this.waiting.slice(count);
  }
}
