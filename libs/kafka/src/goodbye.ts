/** What a broker that is there needs at most to answer. */
const GOODBYE_MS = 5_000;

/**
 * Settles as `work` does, but no later than 5 s after `stop` aborted. kafkajs waits for the answers to its requests before it
 * disconnects, 30 s and several times over when a broker hangs: a process that ends need not. What Kafka did not acknowledge is
 * published again by the next one, and a group that got no goodbye notices when the session times out.
 * @throws Error when `work` was left behind; it may still happen.
 */
export async function unlessLeftBehind<T>(work: Promise<T>, stop: AbortSignal): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let leave = (): void => undefined;
  const left = new Promise<never>((_resolve, reject) => {
    const why = new Error(`Kafka did not answer within ${GOODBYE_MS / 1_000} s of the stop`);
    leave = () => void (timer = setTimeout(() => reject(why), GOODBYE_MS));
  });
  if (stop.aborted) leave();
  else stop.addEventListener('abort', leave, { once: true });
  try {
    return await Promise.race([work, left]);
  } finally {
    clearTimeout(timer);
    stop.removeEventListener('abort', leave);
  }
}
