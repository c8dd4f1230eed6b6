import { relative } from 'node:path';
import type { DatabasePlan, Plan } from './plan.js';

/** What runs where, and what to try first. */
export function announcement({ databases, kafka, dataDir }: Plan, url: string, ready: boolean): string {
  const fromHere = relative('', dataDir);
  const shownDir = fromHere.startsWith('..') ? dataDir : fromHere || '.';
  const places = databases.map(
    (database) =>
      [
        database.name,
        `${database.host}:${database.port}/${database.database}`,
        database.embedded ? 'embedded PostgreSQL' : 'yours',
      ] as const,
  );
  const lines = [
    '',
    ready ? 'subscription-sync is running.' : `subscription-sync is not ready yet: ${url}/health/ready tells what is missing.`,
    '',
  ];
  lines.push(`  API       ${url}/subscriptions`, `            ${url}/docs  ${url}/health/ready  ${url}/metrics`);
  for (const [name, place, kind] of places) lines.push(`  ${name}       ${place.padEnd(24)} ${kind}`);
  if (kafka) lines.push(`  Kafka     ${kafka.brokers.join(',').padEnd(24)} ${kafka.embedded ? 'embedded Apache Kafka' : 'yours'}`);
  lines.push(
    '',
    'Try it:',
    `  curl -i ${url}/subscriptions -H 'content-type: application/json' -d '{"email":"ada@example.com","status":"active"}'`,
  );
  const statements = {
    DB1: "UPDATE subscriptions SET status = 'paused' WHERE email = 'ada@example.com'",
    DB2: 'SELECT email, status, version FROM subscriptions',
  };
  for (const database of databases) lines.push(`  psql ${connectionUrl(database)} -c "${statements[database.name]}"`);
  lines.push('', `Ctrl-C stops it all. The data stays in ${shownDir}.`, '');
  return lines.join('\n');
}

/** A password that isn't ours is not printed: psql asks for it. */
function connectionUrl({ embedded, host, port, user, password, database }: DatabasePlan): string {
  const credentials = embedded ? `${encodeURIComponent(user)}:${encodeURIComponent(password)}` : encodeURIComponent(user);
  return `postgres://${credentials}@${host}:${port}/${encodeURIComponent(database)}`;
}
