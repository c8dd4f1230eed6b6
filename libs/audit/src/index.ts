export { type Act, type Initiator, initiatorOf, recordAct, recordedAs } from './act.js';
export { AuditLog } from './audit-log.js';
export { AuditModule } from './audit.module.js';
