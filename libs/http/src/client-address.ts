import { BlockList, isIPv4, isIPv6 } from 'node:net';

/**
 * Finds out which address sent a request: that of the connection; or, if a trusted proxy made it, the last address in
 * X-Forwarded-For that is not a trusted proxy's. Any client can write the entries before that one.
 */
export class ClientAddresses {
  private readonly proxies = new BlockList();
  private readonly hasProxies: boolean;

  /** @param trustedProxies addresses or CIDR blocks. */
  constructor(trustedProxies: readonly string[]) {
    this.hasProxies = trustedProxies.length > 0;
    for (const proxy of trustedProxies) {
      const [text, bits] = proxy.split('/') as [string, string?];
      const address = parseAddress(text)!;
      const family = familyOf(address);
      const written = isIPv4(text) ? 32 : 128;
      // A block of IPv4-mapped addresses is one of IPv4.
      const prefix = Number(bits ?? written) - (family === 'ipv4' ? written - 32 : 0);
      this.proxies.addSubnet(address, Math.max(0, prefix), family);
    }
  }

  /**
   * Returns the address in one spelling; an empty text if the connection was closed before. A text in X-Forwarded-For that is not an address
   * counts as the proxy that passed it on, so that made-up texts are not addresses of their own.
   */
  addressOf(peer: string | undefined, forwardedFor: string | string[] | undefined): string {
    let address = parseAddress(peer ?? '') ?? '';
    if (this.hasProxies && forwardedFor !== undefined) {
      const forwarded = String(forwardedFor).split(',');
      while (forwarded.length > 0 && address !== '' && this.proxies.check(address, familyOf(address))) {
        const next = parseAddress(forwarded.pop()!.trim());
        if (next === undefined) break;
        address = next;
      }
    }
    return address;
  }
}

/** Returns what a client is counted under: an IPv4 address; or the /64 block of an IPv6 address, all of which belongs to one subscriber. */
export function blockOf(address: string): string {
  return isIPv4(address) ? address : address.split(':', 4).join(':');
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv4(address) ? 'ipv4' : 'ipv6';
}

/** An IPv6 address in brackets, or an IPv4 address; both may have a port, as some proxies write it. */
const WITH_PORT = /^(?:\[([^\]]+)\]|([\d.]+))(?::\d{1,5})?$/;

/**
 * Returns an address in one spelling: the eight groups of an IPv6 address without leading zeros, and an IPv4-mapped one as IPv4. A port
 * and the zone of a link-local address are left out. Returns undefined for a text that is not an address.
 */
export function parseAddress(text: string): string | undefined {
  const [, bracketed, plain] = WITH_PORT.exec(text) ?? [];
  if (plain !== undefined) return isIPv4(plain) ? plain : undefined;
  const address = (bracketed ?? text).split('%', 1)[0]!;
  if (!isIPv6(address)) return undefined;
  const groups = groupsOf(address);
  const isMapped = groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0);
  if (isMapped) return [groups[6]! >> 8, groups[6]! & 0xff, groups[7]! >> 8, groups[7]! & 0xff].join('.');
  return groups.map((group) => group.toString(16)).join(':');
}

/** Returns the eight groups of a valid IPv6 address. The last two may be written like an IPv4 address. */
function groupsOf(address: string): number[] {
  const [head, tail] = address.split('::') as [string, string?];
  const start = readGroups(head);
  const end = readGroups(tail ?? '');
  return [...start, ...Array<number>(8 - start.length - end.length).fill(0), ...end];
}

function readGroups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a, b, c, d] = group.split('.').map(Number) as [number, number, number, number];
    return [a * 256 + b, c * 256 + d];
  });
}
