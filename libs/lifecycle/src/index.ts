export { LIFECYCLE, STATUSES, allowedAfter, illegalTransition, type IllegalTransition, type Status } from './lifecycle.js';
