export { BulkModule } from './import-export.module.js';
