export { AccessModule } from './access.module.js';
export { Access } from './access.js';
export { KEY_NAME } from './api-key.dto.js';
export { type ApiKey, ApiKeys, type Sql } from './api-keys.js';
export { guardRoutes, requireDeclarations } from './guard-routes.js';
