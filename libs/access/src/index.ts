export { Access } from './access.js';
export { AccessModule } from './access.module.js';
export { KEY_NAME } from './api-key.dto.js';
export { ApiKeys, type ApiKey, type Sql } from './api-keys.js';
export { guardRoutes, requireDeclarations } from './guard-routes.js';
