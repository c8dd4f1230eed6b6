export { HistoryModule } from './change-feed.module.js';
