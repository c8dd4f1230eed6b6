export { KEY_ID, KEY_NAME } from './api-key.dto.js';
export { type ApiKey, ApiKeys, type Sql } from './api-keys.js';
export { registerAuthHook, requireScopeDeclarations } from './auth.hook.js';
export { AuthModule } from './auth.module.js';
export { AuthService } from './auth.service.js';
export { registerOpenAccessCheck } from './open-access.js';
