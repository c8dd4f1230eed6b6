import { ConfigurationError, readCommandSettings, readEnvironment } from '#config';
import { decommission } from '#sync';

/** `npm run leave`: what to run when the service goes for good, or for long. Exits with 1 when it can't be done. */
try {
  const { db1, slot } = readCommandSettings(readEnvironment());
  const dropped = await decommission(db1, slot);
  process.stdout.write(
    `Database ${db1.database} on ${db1.host}:${db1.port}\n` +
      `  dropped: ${dropped.length > 0 ? dropped.join(', ') : 'nothing, there was nothing of ours to drop'}\n` +
      `  kept: the tables, their triggers and the change log, which goes on recording and is not pruned meanwhile\n` +
      `To come back, start the service: it goes on from its checkpoint and misses nothing.\n`,
  );
} catch (error) {
  process.stderr.write(`${error instanceof ConfigurationError ? error.message : `Can't leave: ${(error as Error).message}`}\n`);
  process.exitCode = 1;
}
