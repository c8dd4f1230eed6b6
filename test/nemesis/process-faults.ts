import type { PartName } from '../harness/parts.js';
import type { Role } from '#config';
import type { Random } from '../harness/random-operations.js';
import { over, type Fault, type Faults } from './fault.js';
import type { MemberName } from './fleet.js';
import type { Scene } from './scene.js';

const ROLES: readonly Role[] = ['api', 'sync', 'replica'];
const PARTS: readonly PartName[] = ['db1', 'db2', 'kafka'];
/** Time limit (ms) in which a temporary replica must get its partitions. */
const JOIN_WITHIN_MS = 4_000;

/** Returns a member of the role; of the two sync members, the one that captures. */
async function victimOf(role: Role, { fleet }: Scene, random: Random): Promise<MemberName> {
  return role === 'sync' ? fleet.capturing() : random.pick(fleet.membersOf(role));
}

const killed = (role: Role): Fault => ({
  uses: [role],
  inject: async (scene, random) => {
    const victim = await victimOf(role, scene, random);
    await scene.fleet.end(victim, 'SIGKILL');
    return async () => {
      await scene.fleet.launch(victim);
    };
  },
});

const stopped = (role: Role): Fault => ({
  uses: [role],
  inject: async (scene, random) => {
    const victim = await victimOf(role, scene, random);
    scene.fleet.pause(victim);
    return async () => scene.fleet.resume(victim);
  },
});

const partKilled = (part: PartName): Fault => ({
  uses: [part],
  inject: async ({ rig: { parts } }) => {
    await parts.kill(part);
    return () => parts.restart(part);
  },
});

const partStopped = (part: PartName): Fault => ({
  uses: [part],
  inject: async ({ rig: { parts } }) => {
    parts.pause(part);
    return async () => parts.resume(part);
  },
});

const everythingKilled: Fault = {
  uses: ROLES,
  inject: async ({ fleet }) => {
    const victims = ROLES.flatMap((role) => fleet.membersOf(role));
    await Promise.all(victims.map((victim) => fleet.end(victim, 'SIGKILL')));
    return async () => {
      await Promise.all(victims.map((victim) => fleet.launch(victim)));
    };
  },
};

/** Replicas join, get partitions, and leave: one gracefully, one by SIGKILL. */
const rebalances: Fault = {
  uses: ['replica'],
  inject: async ({ fleet }) => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const passing = await fleet.launch('replica-3');
      await passing.ready(JOIN_WITHIN_MS).catch(() => undefined);
      await fleet.end('replica-3', signal);
    }
    return over;
  },
};

const named = (suffix: string, fault: (name: never) => Fault, names: readonly string[]): Faults =>
  Object.fromEntries(names.map((name) => [`${name}-${suffix}`, fault(name as never)]));

/** SIGKILL, and SIGSTOP followed by SIGCONT, of every process of the system. */
export const processFaults: Faults = {
  ...named('killed', killed, ROLES),
  ...named('stopped', stopped, ROLES),
  ...named('killed', partKilled, PARTS),
  ...named('stopped', partStopped, PARTS),
  'service-killed': everythingKilled,
  rebalances,
};
