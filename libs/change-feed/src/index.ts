export { ChangeFeedModule } from './change-feed.module.js';
export { Feed } from './feed.js';
