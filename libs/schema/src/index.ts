export { db1Options, db2Options, databaseConnections } from './database-connections.js';
export { eventText } from './db1/event-text.js';
