import { isIP } from 'node:net';
import type { Reader } from './reader.js';
import type { AccessSettings, OidcSettings, Role } from './settings.js';

const MODES: readonly AccessSettings['mode'][] = ['open', 'required'];
const MOST = 1_000_000_000;

/**
 * `open` is for loopback. Elsewhere the api role must be told how to check its callers; the other roles, which serve health and metrics
 * wherever they are, let nobody in without a credential.
 */
export function readAccess(read: Reader, host: string, roles: readonly Role[]): AccessSettings {
  const oidc = readOidc(read);
  const fallback = oidc || (!isLoopback(host) && !roles.includes('api')) ? 'required' : 'open';
  const mode = read.oneOf('ACCESS', MODES, fallback);
  if (mode === 'open' && !isLoopback(host)) {
    read.problems.push(
      `HOST is "${host}", where others can reach the API, and access to it is not configured. Set ACCESS=required ` +
        '(API keys, made with `npm run access`) or OIDC_ISSUER; or leave HOST at 127.0.0.1',
    );
  }
  return {
    mode,
    oidc,
    limits: {
      perKey: read.integer('RATE_LIMIT_PER_KEY', 60_000, 0, MOST),
      perAddress: read.integer('RATE_LIMIT_PER_ADDRESS', 120_000, 0, MOST),
      failuresPerAddress: read.integer('AUTH_FAILURES_PER_ADDRESS', 30, 0, MOST),
    },
    trustedProxies: read.each('TRUSTED_PROXIES', isAddressOrBlock, 'addresses or CIDR blocks'),
    corsOrigins: read.each('CORS_ORIGINS', isOrigin, 'origins such as https://app.example.com'),
  };
}

/** All are read, so that what is wrong with each is said; without an issuer there is no OIDC. */
function readOidc(read: Reader): OidcSettings | undefined {
  const url = (name: string): string => {
    const text = read.text(name, '');
    if (text !== '' && !isSafeUrl(text)) read.problems.push(`${name} must be an https URL (http only on this machine), but is "${text}"`);
    return text;
  };
  const issuer = url('OIDC_ISSUER');
  const jwksUri = url('OIDC_JWKS_URI');
  const audience = read.text('OIDC_AUDIENCE', '');
  const scopesClaim = read.text('OIDC_SCOPES_CLAIM', 'scope');
  if (issuer === '') return undefined;
  if (audience === '') read.problems.push('OIDC_AUDIENCE is required with OIDC_ISSUER: tokens for others must not be taken');
  return { issuer, audience, jwksUri: jwksUri === '' ? undefined : jwksUri, scopesClaim };
}

/** Whether only programs of this machine reach what listens there. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Whether what comes from there can be believed: keys that somebody could exchange on the way would let anybody in. */
export function isSafeUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname.replace(/^\[|\]$/g, '')));
}

function isAddressOrBlock(text: string): boolean {
  const [address, bits, ...rest] = text.split('/');
  const version = isIP(address!);
  if (version === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
}

function isOrigin(text: string): boolean {
  return /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}
