import { hostname, userInfo } from 'node:os';
import type { Initiator } from '#audit';
import { withoutEmail } from '#http';

/** Returns who runs the command. Both are claims: who can run it with the settings of Database 1 can write anything there. */
export function operator(): Initiator {
  return { actor: withoutEmail(`cli:${userName()}`), address: hostname(), request_id: null };
}

/** A container may run as a user without a name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}
