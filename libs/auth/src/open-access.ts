import type { FastifyAdapter } from '@nestjs/platform-fastify';
import { isLoopback, type Settings } from '#config';
import { AccessDenied } from './authenticator.js';

type RequestHeaders = Readonly<Record<string, string | string[] | undefined>>;

/**
 * Rejects, while access is open, what a web page could send with the help of a browser on this machine: a form or a request of another
 * site, and requests under a name of its own that it lets point to this machine (DNS rebinding). Holds for every path, because rebinding
 * reads answers. With ACCESS=required there is no need for it: a page does not have the credential.
 */
export function registerOpenAccessCheck(adapter: FastifyAdapter, { access }: Settings): void {
  if (access.mode !== 'open') return;
  adapter.getInstance().addHook('onRequest', (request, _reply, done) => {
    const problem = whyForeign(request.headers, access.corsOrigins);
    done(problem === undefined ? undefined : new AccessDenied(403, problem));
  });
}

/** Returns why a request cannot come from a program or a page of this machine, or undefined. The texts never quote the request. */
export function whyForeign(headers: RequestHeaders, corsOrigins: readonly string[]): string | undefined {
  const { host, origin, 'sec-fetch-site': site } = headers;
  // Only HTTP/1.0 may leave the host out, and no browser does.
  if (host !== undefined && !isOwnHost(host)) {
    return 'Access is open, and the Host of the request is not a name of this machine. Use localhost or 127.0.0.1, or set ACCESS=required';
  }
  if (origin !== undefined) {
    if (corsOrigins.includes(String(origin)) || isOwnOrigin(origin)) return undefined;
    return 'Access is open, and the Origin of the request is another web site. Set CORS_ORIGINS to allow that site, or set ACCESS=required';
  }
  // Browsers send the Origin with every request that could change anything. A page's links, images and frames have this header alone.
  if (site === undefined || site === 'none' || site === 'same-origin') return undefined;
  return 'Access is open, and the request comes from another web site (Sec-Fetch-Site). Open the address in the browser itself, or set ACCESS=required';
}

/** A host with or without a port, and nothing else that a URL could have. */
const HOST = /^(?:\[[\da-f:.]+\]|[\w.-]+)(?::\d{1,5})?$/i;

/** Whether a Host header names this machine. While access is open, HOST is such a name, too. */
function isOwnHost(host: string | string[]): boolean {
  return typeof host === 'string' && HOST.test(host) && isOwnUrl(`http://${host}`);
}

function isOwnOrigin(origin: string | string[]): boolean {
  return typeof origin === 'string' && /^https?:\/\//.test(origin) && isOwnUrl(origin);
}

/** The URL's parser brings all spellings of an address into one. Browsers resolve names below localhost by themselves. */
function isOwnUrl(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const name = new URL(url).hostname.replace(/^\[|\]$/g, '');
  return isLoopback(name) || name.endsWith('.localhost');
}
