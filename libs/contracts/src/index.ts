export { BadEventError, decodeEvent, type BadEventClass, type ReceivedEvent } from './decode-event.js';
export { EVENT_SCHEMA } from './event.schema.js';
export { OPERATIONS, SUBSCRIPTION_EVENTS, type Operation, type SubscriptionEvent, type SubscriptionImage } from './event.js';
