export {
  BUSINESS_COLUMN_LIST,
  BUSINESS_COLUMN_NAMES,
  DEFAULT_VALUES,
  ROW_COLUMN_NAMES,
  type BusinessColumn,
  type BusinessValues,
} from './columns.js';
export { asyncApiDocument } from './asyncapi.js';
export { eventText, LOGGED_COLUMNS, type LoggedChange } from './event-text.js';
export { EventSignatures, SIGNATURE_HEADER } from './event-signature.js';
export { BadEventError, decodeEvent, type ReceivedEvent } from './decode-event.js';
export { compactJson, rawMembers } from './json-text.js';
export {
  allowedTransitions,
  illegalTransition,
  type IllegalTransition,
  STATUS_TRANSITIONS,
  STATUSES,
  type StatusTransitions,
  transitionsFor,
} from './status-transitions.js';
export {
  CANARY_EMAIL,
  ERASED_EMAIL,
  EVENT_HEADERS,
  TRACEPARENT_HEADER,
  EVENT_SCHEMA,
  MAX_VERSION,
  type Operation,
  OPERATIONS,
  SUBSCRIPTION_EVENTS,
} from './subscription-event.js';
