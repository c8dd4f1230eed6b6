export { startServer, type RunningServer } from './bootstrap.js';
