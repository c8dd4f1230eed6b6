import type { LoggedChange } from './evidence.js';
import type { Effect, Operation } from './history.js';

/** Returns the ids of the operations that have changes in the log. */
export function idsInLog(log: readonly LoggedChange[]): Set<string | null> {
  return new Set(log.map(({ id }) => id));
}

/** Returns the acknowledged effects that the log does not have as they were acknowledged, one line each. */
export function effectsNotInLog(operations: readonly Operation[], log: readonly LoggedChange[]): string[] {
  const versions = new Map(log.map((change) => [change.version, change]));
  const byId = new Map<string | null, LoggedChange[]>();
  for (const change of log) {
    const own = byId.get(change.id);
    if (own) own.push(change);
    else byId.set(change.id, [change]);
  }
  return operations
    .filter(({ outcome }) => outcome === 'ok')
    .flatMap(({ id, what, effects }) =>
      effects
        .filter((effect) => !isExplained(effect, versions, byId.get(id) ?? []))
        .map((effect) => `${what} ${id} was acknowledged, but the log lacks ${JSON.stringify(effect)}`),
    );
}

function isExplained(effect: Effect, versions: ReadonlyMap<number, LoggedChange>, own: readonly LoggedChange[]): boolean {
  switch (effect.kind) {
    case 'version': {
      const change = versions.get(effect.version);
      return change !== undefined && change.operation !== 'deleted' && hasContent(change, effect);
    }
    case 'content':
      return [...versions.values()].some((change) => change.operation !== 'deleted' && hasContent(change, effect));
    case 'made':
      return own.some((change) => change.operation !== 'deleted' && hasContent(change, effect));
    case 'deleted':
      return own.some(({ operation, email }) => operation === 'deleted' && email === effect.email);
    case 'changes':
      return own.length === effect.count;
  }
}

function hasContent(change: LoggedChange, { email, status, plan }: { email: string; status: string; plan: string | null }): boolean {
  return change.email === email && change.status === status && change.plan === plan;
}
