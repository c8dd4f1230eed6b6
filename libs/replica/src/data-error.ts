/**
 * Whether PostgreSQL refused the data itself: SQLSTATE class 22 (data exception) or 23 (integrity constraint). Trying again
 * changes nothing, and other rows of the batch may be fine. Anything else is about the database, and passes.
 */
export function isDataError(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && /^2[23]/.test(error.code);
}
