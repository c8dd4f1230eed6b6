export { eraseFromImports } from './erase.js';
export { ImportExportModule } from './import-export.module.js';
