import type { Experiment } from '../experiment.js';
import { BACKLOG, SKEW } from './backlogs.js';
import { FLOW } from './flow.js';
import { PARTITIONS, REPLICAS, ROW_SIZE, ROWS } from './growth.js';
import { TLS } from './tls.js';
import { WIRE } from './wire.js';
import { WRITE_COST } from './write-cost.js';

/** All experiments, in the order in which they are reported. */
export const EXPERIMENTS: readonly Experiment[] = [FLOW, SKEW, BACKLOG, PARTITIONS, REPLICAS, ROWS, ROW_SIZE, WRITE_COST, WIRE, TLS];
