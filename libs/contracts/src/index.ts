export { asyncApiDocument } from './asyncapi.js';
export { BadEventError, decodeEvent, type ReceivedEvent } from './decode-event.js';
export { EVENT_HEADERS, OPERATIONS, SUBSCRIPTION_EVENTS, type Operation } from './event.js';
export { EVENT_SCHEMA } from './event.schema.js';
