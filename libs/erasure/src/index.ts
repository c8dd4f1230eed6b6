export { ErasuresModule, ErasureWorkerModule } from './erasure.modules.js';
export { readErasure, requestErasure } from './erasures.js';
export { type ErasureView } from './erasure.dto.js';
