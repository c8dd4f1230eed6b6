/** What `/health/ready` answers. */
export interface Readiness {
  readonly code: number;
  readonly status: string;
  readonly checks: Readonly<Record<string, { readonly status: string; readonly error?: string; readonly state?: string }>>;
}

export async function readinessOf(url: string): Promise<Readiness> {
  const response = await fetch(`${url}/health/ready`);
  return { code: response.status, ...((await response.json()) as Omit<Readiness, 'code'>) };
}

/** Why a part is down; undefined while it is up, or only not connected yet. */
export async function problemOf(url: string, part: string): Promise<string | undefined> {
  const error = (await readinessOf(url)).checks[part]?.error;
  return error?.includes('connected yet') ? undefined : error;
}
