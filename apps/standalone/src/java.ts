import { join } from 'node:path';
import { readEnvironment } from '#config';
import { runCommand } from './run-command.js';
import { StandaloneError } from './standalone.error.js';

/** Kafka 4 brokers need it. */
const OLDEST_JAVA = 17;

/** How to go on without what embedded Kafka needs. */
export const OTHER_WAYS = 'or run "docker compose -f docker/compose.yaml up", or set KAFKA_SERVER to a Kafka that runs already';

/**
 * The `java` to use: JAVA_HOME's, else the one in PATH.
 * @throws StandaloneError when there is none, or it is older than 17.
 */
export async function findJava(): Promise<string> {
  const home = readEnvironment().JAVA_HOME;
  const java = home ? join(home, 'bin', 'java') : 'java';
  const { code, lines } = await runCommand(java, ['-version']);
  // macOS has a stub that is found, says that there is no Java, and fails.
  if (code !== 0) {
    throw new StandaloneError(
      `Kafka needs Java ${OLDEST_JAVA} or newer, and ${home ? `JAVA_HOME (${home}) has none` : 'there is none in PATH'}: install it, ${OTHER_WAYS}.`,
    );
  }
  const version = /version "([^"]+)"/.exec(lines.join('\n'))?.[1] ?? 'unknown';
  if (majorVersion(version) >= OLDEST_JAVA) return java;
  throw new StandaloneError(
    `Kafka needs Java ${OLDEST_JAVA} or newer, but ${java} is ${version}: install a newer one (or point JAVA_HOME at it), ${OTHER_WAYS}.`,
  );
}

/** "1.8.0_402" is 8; "17.0.15" is 17; "25-ea" is 25. */
function majorVersion(version: string): number {
  const [first = 0, second = 0] = version.split(/[._-]/).map(Number);
  return first === 1 ? second : first;
}
