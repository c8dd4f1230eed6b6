export { KEY_NAME } from './api-key.dto.js';
export { type ApiKey, ApiKeys, type Sql } from './api-keys.js';
export { guardRoutes, requireDeclarations } from './auth.hook.js';
export { AccessModule } from './auth.module.js';
export { Access } from './auth.service.js';
