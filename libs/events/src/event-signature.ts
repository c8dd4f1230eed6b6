import { createHmac, timingSafeEqual } from 'node:crypto';

/** The header of a record that has its signature. */
export const SIGNATURE_HEADER = 'signature';
const ALGORITHM = 'sha256';
const PREFIX = `hmac-${ALGORITHM}=`;

/** A header as kafkajs reads it. */
type HeaderValue = Buffer | string | (Buffer | string)[] | undefined;

/**
 * Signs and checks records of the topic by HMAC-SHA256, so that a program which may write to the topic, but does not know the key, cannot pass a
 * record for one of the service's. A signature covers the record's key and value. It does not cover the place in the topic: a record that is
 * delivered again, or in another partition, changes nothing, because the version guard decides.
 */
export class EventSignatures {
  /** @param secrets The first one signs; the others are accepted as well, while the secret is being replaced. */
  constructor(private readonly secrets: readonly string[]) {}

  /** Returns the value of the header. */
  sign(key: string, value: string | Buffer): string {
    return PREFIX + macOf(this.secrets[0]!, key, value).toString('base64');
  }

  isValid(header: HeaderValue, key: Buffer, value: Buffer): boolean {
    const text = Buffer.isBuffer(header) ? header.toString('latin1') : header;
    if (typeof text !== 'string' || !text.startsWith(PREFIX)) return false;
    const sent = Buffer.from(text.slice(PREFIX.length), 'base64');
    return this.secrets.some((secret) => {
      const expected = macOf(secret, key, value);
      return sent.length === expected.length && timingSafeEqual(sent, expected);
    });
  }
}

/** The length of the key is signed too, so that no byte can be moved from the key to the value. */
function macOf(secret: string, key: string | Buffer, value: string | Buffer): Buffer {
  return createHmac(ALGORITHM, secret)
    .update(`${Buffer.byteLength(key)}:`)
    .update(key)
    .update(value)
    .digest();
}
