import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'nest-commander';
import { type ErasureView, readErasure, requestErasure } from '#erasure';
import { queryOf } from '#postgres';
import { useDatabase1 } from './database-1.js';
import { operator } from './operator.js';
import { CommandWithJson, type JsonOptions, UsageError } from './usage.js';

/** Interval (ms) between two polls of the erasure's state. */
const POLL_INTERVAL_MS = 1_000;

@Command({
  name: 'erase',
  arguments: '[email]',
  description: 'Delete a subscription and erase everything that is kept about its email (docs/privacy.md)',
  argsDescription: { email: 'the email; without it, the email is read from standard input' },
})
export class EraseCommand extends CommandWithJson {
  /** Requests the erasure and waits until a sync process has erased everything but what guards against records on Kafka. */
  async run([argument]: string[], { json }: JsonOptions): Promise<void> {
    const email = (argument ?? (await text(process.stdin))).trim();
    if (email === '') throw new UsageError('There is no email, neither as an argument nor on standard input');
    await useDatabase1(async (source) => {
      let erasure = await source.transaction((manager) => requestErasure(queryOf(manager), email, operator()));
      this.print(json, erasure, formatErasure(erasure));
      while (erasure.state === 'requested') {
        await delay(POLL_INTERVAL_MS);
        erasure = await readErasure(queryOf(source), erasure.id);
      }
      this.print(json, erasure, formatErasure(erasure));
    });
  }
}

function formatErasure({ id, state, email_hash: hash, kafka }: ErasureView): string {
  const kept = kafka ? `. ${kafka.detail}${kafka.until === null ? '' : ` (${kafka.until})`}` : ', and a sync process erases the rest';
  return `erasure ${id}, hash ${hash}: ${state}${kept}`;
}
