export { asyncApiDocument } from './asyncapi.js';
export { BadEventError, decodeEvent, type ReceivedEvent } from './decode-event.js';
export { EVENT_SCHEMA } from './event.schema.js';
export { EVENT_HEADERS, type Operation, OPERATIONS, SUBSCRIPTION_EVENTS } from './event.js';
