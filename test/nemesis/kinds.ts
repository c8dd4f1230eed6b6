import { databaseFaults } from './database-faults.js';
import type { Faults } from './fault.js';
import { networkFaults } from './network-faults.js';
import { processFaults } from './process-faults.js';
import { topicFaults } from './topic-faults.js';

/** Every kind of fault, by name. */
export const KINDS: Faults = { ...processFaults, ...networkFaults, ...databaseFaults, ...topicFaults };
