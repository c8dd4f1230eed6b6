import { createRequire } from 'node:module';

/** The part of kafkajs's queue of a connection's requests that is changed here. */
interface RequestQueue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests: (this: RequestQueue) => void;
}

const queue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as { readonly prototype: RequestQueue };
const schedule = queue.prototype.scheduleCheckPendingRequests;

/**
 * Lets a connection without waiting requests set no timer. kafkajs 2.2.4 sets one with a negative delay, which Node takes for 1 ms, and again whenever it
 * has fired: a thousand times a second on each idle connection. From version 24 on, Node prints a warning of it.
 */
queue.prototype.scheduleCheckPendingRequests = function () {
  if (this.pending.length > 0) schedule.call(this);
};
