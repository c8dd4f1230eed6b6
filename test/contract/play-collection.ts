import { runInNewContext } from 'node:vm';

/** A Postman collection (v2.1), as far as {@link playCollection} reads it. */
export interface Collection {
  readonly item: readonly CollectionItem[];
  readonly variable: readonly KeyValue[];
}

interface CollectionItem {
  readonly name: string;
  readonly item?: readonly CollectionItem[];
  readonly request?: CollectionRequest;
  readonly event?: readonly { readonly listen: string; readonly script: { readonly exec: readonly string[] } }[];
}

export interface CollectionRequest {
  readonly method: string;
  readonly url: {
    readonly host: readonly string[];
    readonly path: readonly string[];
    readonly query?: readonly KeyValue[];
    readonly variable?: readonly KeyValue[];
  };
  readonly header?: readonly KeyValue[];
  readonly body?: { readonly mode?: string; readonly raw?: string };
  readonly auth?: unknown;
}

interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly disabled?: boolean | null;
}

export interface PlayedRequest {
  /** Method and path: `GET subscriptions/:email`. */
  readonly route: string;
  readonly status: number;
  /** The body of an error. */
  readonly problem: string;
}

/**
 * Sends the requests of a collection from top to bottom, as Postman's collection runner and newman do: variables are replaced, and the
 * scripts behind a response may set them. Only the head of a stream is read.
 */
export async function playCollection(collection: Collection, variables: Readonly<Record<string, string>>): Promise<PlayedRequest[]> {
  const values = new Map([...collection.variable.map(({ key, value }) => [key, value] as const), ...Object.entries(variables)]);
  const replace = (text: string): string =>
    text.replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) => {
      const value = values.get(name);
      if (value === undefined) throw new Error(`The collection has no variable ${name}`);
      return value;
    });
  const played: PlayedRequest[] = [];
  for (const { request, event = [] } of requestsOf(collection.item)) {
    const response = await send(request, replace);
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
    const body = isStream ? '' : await response.text();
    if (isStream) await response.body?.cancel();
    played.push({ route: routeOf(request), status: response.status, problem: response.ok ? '' : body });
    const pm = {
      response: { code: response.status, json: (): unknown => JSON.parse(body) },
      collectionVariables: { set: (name: string, value: string) => values.set(name, value) },
    };
    for (const { script } of event) runInNewContext(script.exec.join('\n'), { pm });
  }
  return played;
}

export function requestsOf(items: readonly CollectionItem[]): (CollectionItem & { readonly request: CollectionRequest })[] {
  return items.flatMap((item) => [...(item.request ? [{ ...item, request: item.request }] : []), ...requestsOf(item.item ?? [])]);
}

export function routeOf({ method, url }: CollectionRequest): string {
  return `${method} ${url.path.join('/')}`;
}

function send({ method, url, header = [], body }: CollectionRequest, replace: (text: string) => string): Promise<Response> {
  const pathValues = new Map(url.variable?.map(({ key, value }) => [`:${key}`, value]));
  const path = url.path.map((part) => encodeURIComponent(replace(pathValues.get(part) ?? part))).join('/');
  const query = new URLSearchParams(enabled(url.query).map(({ key, value }): [string, string] => [key, replace(value)]));
  const headers = enabled(header).map(({ key, value }): [string, string] => [key, replace(value)]);
  const raw = body?.mode === 'raw' ? { body: replace(body.raw ?? '') } : {};
  return fetch(`${replace(url.host.join('.'))}/${path}?${query.toString()}`, {
    method,
    headers: [...headers, ['Authorization', `Bearer ${replace('{{apiKey}}')}`]],
    ...raw,
  });
}

function enabled(parameters: readonly KeyValue[] = []): KeyValue[] {
  return parameters.filter(({ disabled }) => disabled !== true);
}
