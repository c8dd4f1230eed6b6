export { databaseConnections, db1Options, db2Options } from './database-connections.js';
export { expectFit } from './fit.js';
export { DB1_MIGRATIONS, DB2_MIGRATIONS } from './migrations.js';
export { ROLE_PRIVILEGES } from './role-privileges.js';
