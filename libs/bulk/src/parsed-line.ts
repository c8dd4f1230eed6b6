import type { ImportRow, LineError } from './import-line.js';

/** Longest line, bytes: the API's bound of a body. */
export const LINE_BYTES = 64 * 1024;

/** Lines of a file as they are read: rows to write, and errors. */
export type ParsedLine = ImportRow | readonly LineError[];

/** The file can't be read any further. The message says where, and nothing of what stands there. */
export class UnreadableFileError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnreadableFileError';
  }
}
