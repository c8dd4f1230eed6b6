import { hash } from 'node:crypto';
import type { Caller } from './route-scope.js';

/** The parts of Fastify's request that tell where it came from. */
interface ReceivedRequest {
  readonly headers: { readonly authorization?: string };
  readonly clientAddress?: string;
}

/** Returns the address that sent a request (client-address.ts). Null when the connection was closed before the address was read. */
export function addressOf(request: object): string | null {
  return (request as ReceivedRequest).clientAddress || null;
}

/** The caller of a request in the log. */
export interface LoggedCaller {
  /** `key:` and the key's id, `oidc:` and a pseudonym of the token's subject, `api` while access is open, `-` without a valid credential. */
  readonly caller: string;
  /** Id of the key that a refused credential claims to be. */
  readonly claimed_key?: string;
  readonly address: string;
}

/** The beginning of an API key up to its id, which may be shown. */
const CLAIMED_KEY = /^bearer +ssk_([0-9a-f]{16})_/i;

/** Returns who sent a request, as the log may name it: subjects of tokens are pseudonyms, because many issuers use emails. */
export function loggedCaller(request: object): LoggedCaller {
  const address = addressOf(request) ?? '-';
  const { caller } = request as { caller?: Caller | null };
  if (caller) return { caller: logName(caller.actor), address };
  const [, id] = CLAIMED_KEY.exec((request as ReceivedRequest).headers.authorization ?? '') ?? [];
  return id === undefined ? { caller: '-', address } : { caller: '-', claimed_key: id, address };
}

function logName(actor: string): string {
  const [kind, rest] = split(actor);
  if (kind === 'oidc') return `oidc:${pseudonymOf(rest)}`;
  return kind === 'key' ? `key:${rest.slice(rest.lastIndexOf(':') + 1)}` : actor;
}

/** Matches a text that contains an email. `client@clients`, as some issuers name programs, has no domain and is none. */
const HAS_EMAIL = /[^\s@]@[^\s@.]+\.[^\s@]/u;

/** Returns the actor, whose name is replaced by a pseudonym if it contains an email. */
export function withoutEmail(actor: string): string {
  const [kind, rest] = split(actor);
  return HAS_EMAIL.test(rest) ? `${kind}:${pseudonymOf(rest)}` : actor;
}

function split(actor: string): [kind: string, rest: string] {
  const colon = actor.indexOf(':');
  return colon < 0 ? [actor, ''] : [actor.slice(0, colon), actor.slice(colon + 1)];
}

/** Returns 132 bits of the SHA-256 of a name, in base64url. The same name always has the same pseudonym. */
function pseudonymOf(name: string): string {
  return hash('sha256', name, 'base64url').slice(0, 22);
}
