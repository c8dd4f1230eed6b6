export { databaseConnections, db1Options, db2Options } from './database-connections.js';
export { eventText } from './db1/event-text.js';
