export { OPERATIONS, SUBSCRIPTION_EVENTS, type Operation, type SubscriptionEvent, type SubscriptionImage } from './event.js';
