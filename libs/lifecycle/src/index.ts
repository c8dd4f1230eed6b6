export { allowedAfter, type IllegalTransition, illegalTransition, LIFECYCLE, type Status, STATUSES } from './lifecycle.js';
