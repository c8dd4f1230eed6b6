export { BadEventError, decodeEvent, type ReceivedEvent } from './decode-event.js';
export { SUBSCRIPTION_EVENTS, type Operation } from './event.js';
