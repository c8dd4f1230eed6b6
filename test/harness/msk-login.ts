import { createHash, createHmac } from 'node:crypto';

/** Returns the URL in a login's token. */
export function urlIn(login: string): URL {
  const separator = '\u0001';
  const [header, authorization, ...rest] = login.split(separator);
  const [scheme, token] = authorization?.split('auth=Bearer ') ?? [];
  if (header !== 'n,,' || scheme !== '' || rest.join(separator) !== separator)
    throw new Error('This is not a login by OAUTHBEARER (RFC 7628)');
  return new URL(Buffer.from(token!, 'base64url').toString());
}

/** Returns the ID of the access key that has signed a login's token. */
export const keyIn = (login: string): string => urlIn(login).searchParams.get('X-Amz-Credential')!.split('/')[0]!;

/** Returns the signature of a presigned URL (AWS Signature Version 4). The signer adds the user agent after it has signed. */
export function signatureOf(url: URL, secret: string): string {
  const query = [...url.searchParams]
    .filter(([name]) => name !== 'X-Amz-Signature' && name !== 'User-Agent')
    .map((pair) => pair.map(encodeURIComponent).join('='))
    .sort()
    .join('&');
  const request = ['GET', '/', query, `host:${url.host}`, '', 'host', sha256('')].join('\n');
  const [, ...scope] = url.searchParams.get('X-Amz-Credential')!.split('/');
  const text = ['AWS4-HMAC-SHA256', url.searchParams.get('X-Amz-Date'), scope.join('/'), sha256(request)].join('\n');
  const key = scope.reduce<Buffer | string>((last, part) => createHmac('sha256', last).update(part).digest(), `AWS4${secret}`);
  return createHmac('sha256', key).update(text).digest('hex');
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
