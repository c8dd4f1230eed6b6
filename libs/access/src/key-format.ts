import { hash, randomBytes } from 'node:crypto';

/** `ssk_<id>_<secret>`: the id finds the key and may be shown; the secret is 256 random bits, shown once. */
const FORMAT = /^ssk_([0-9a-f]{16})_([\w-]{43})$/;
export const KEY_PREFIX = 'ssk_';

export interface NewKey {
  readonly id: string;
  /** What the caller sends. */
  readonly key: string;
  /** What is stored. */
  readonly hash: Buffer;
}

export function newKey(): NewKey {
  const id = randomBytes(8).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  return { id, key: `${KEY_PREFIX}${id}_${secret}`, hash: hashOf(secret) };
}

/** A key as it was sent. */
export type SentKey = Pick<NewKey, 'id' | 'hash'>;

/** Undefined for what is no key of ours. */
export function parseKey(text: string): SentKey | undefined {
  const [, id, secret] = FORMAT.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, hash: hashOf(secret) };
}

/** A slow hash would only slow down each request: nobody tries 2^256 secrets. */
function hashOf(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}
