/** A running part: what it takes to notice its end and to end it. */
export interface Part {
  readonly name: string;
  readonly pid: number;
  /** Resolves, never rejects, when the process has ended, asked to or not, with how: "ended by SIGKILL". */
  readonly exited: Promise<string>;
  /** Ends it in order and resolves once it is gone. May be called more than once. */
  stop(): Promise<void>;
  /** Ends it at once, without waiting. */
  kill(): void;
}
