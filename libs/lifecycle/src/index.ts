export { LIFECYCLE, STATUSES, allowedAfter, type Status } from './lifecycle.js';
