/**
 * Calls `work` with a signal that aborts when the operator ends the command (Ctrl-C), or the program that reads its output has ended, as
 * `head` does. A second Ctrl-C ends the process at once.
 */
export async function untilInterrupted(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  process.once('SIGINT', abort).once('SIGTERM', abort);
  process.stdout.on('error', abort);
  try {
    await work(controller.signal);
  } finally {
    process.off('SIGINT', abort).off('SIGTERM', abort);
    process.stdout.off('error', abort);
  }
}
