/** How often the watchdog of the server at `url` has restarted a part. */
export async function restartsOf(url: string, part: 'sync' | 'replica'): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^subscription_sync_restarts_total\\{part="${part}"\\} (\\d+)$`, 'm').exec(text)![1]);
}
