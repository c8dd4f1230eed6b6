import { readEnvironment } from '#config';

/** Returns the size of a test: `usual` with `npm test`, and `long` with `npm run test:long`. */
export function sizeOf({ usual, long }: { readonly usual: number; readonly long: number }): number {
  return readEnvironment()['LONG_TESTS'] === undefined ? usual : long;
}
