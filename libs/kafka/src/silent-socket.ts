import type { Socket } from 'node:net';

/**
 * Ends a connection on which something was asked and nothing has come back for `withinMs`. kafkajs gives up a request that is not
 * answered, and asks again on the same connection, for ever: one that a firewall has forgotten would never be replaced.
 *
 * What counts is the time in which we could have heard something: a process that was stopped gives the answer a chance when it wakes up.
 */
export function endWhenSilent(socket: Socket, withinMs: number, lookEveryMs = 1_000): Socket {
  let read = 0;
  let askedThen = 0;
  let silentMs = 0;
  const timer = setInterval(() => {
    if (socket.bytesRead !== read || socket.bytesWritten === askedThen) {
      read = socket.bytesRead;
      askedThen = socket.bytesWritten;
      silentMs = 0;
      return;
    }
    silentMs += lookEveryMs;
    if (silentMs >= withinMs) socket.destroy(new Error(`no answer within ${withinMs} ms`));
  }, lookEveryMs);
  timer.unref();
  return socket.once('close', () => clearInterval(timer));
}
