import { setTimeout as delay } from 'node:timers/promises';
import { GoneException } from '@nestjs/common';
import { Command, Option } from 'nest-commander';
import { Feed } from '#change-feed';
import { DEFAULT_TIMINGS } from '#config';
import { queryOf } from '#postgres';
import { normaliseEmail } from '#subscriptions';
import { useDatabase1 } from './database-1.js';
import { untilInterrupted } from './interruption.js';
import { CommandWithJson, type JsonOptions, parseSeconds, UsageError } from './usage.js';

/** Maximum number of events that are read at once. */
const PAGE_EVENTS = 500;
const OPERATIONS = ['created', 'updated', 'deleted', 'resynced'];
const { idlePollMs, readRetryMs } = DEFAULT_TIMINGS.changeFeed;

/** The fields of an event that are shown. */
interface Event {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly time: string;
  readonly data: {
    readonly subscription: Readonly<Record<string, unknown>>;
    readonly previous: Readonly<Record<string, unknown>>;
    readonly actor: string;
    readonly reason: string | null;
  };
}

interface TailOptions extends JsonOptions {
  readonly email?: string;
  readonly operation?: string;
  readonly status?: string;
  readonly since?: string;
  readonly follow?: boolean;
}

/** Reads the change log as the feed of the API does: each change once, also one that commits late. */
@Command({ name: 'tail', description: 'Show changes of subscriptions as they are committed to Database 1, until Ctrl-C' })
export class TailCommand extends CommandWithJson {
  async run(_: string[], options: TailOptions): Promise<void> {
    await useDatabase1((source, { table }) =>
      untilInterrupted((signal) => show(new Feed({ query: queryOf(source) }), options, table.status, signal)),
    );
  }

  @Option({ flags: '--email <email>', description: 'only changes of this email, in any spelling' })
  parseEmail(text: string): string {
    return text;
  }

  @Option({ flags: '--operation <operation>', description: 'only changes of this kind', choices: OPERATIONS })
  parseOperation(text: string): string {
    if (OPERATIONS.includes(text)) return text;
    throw new UsageError(`--operation must be one of ${OPERATIONS.join(', ')}, but is "${text}"`);
  }

  @Option({ flags: '--status <status>', description: 'only changes after which the subscription has this status' })
  parseStatus(text: string): string {
    return text;
  }

  @Option({
    flags: '--since <time>',
    description: 'begin with changes made since then: an instant, or a time ago such as 15m; now by default',
  })
  parseSince(text: string): string {
    const isInstant = /^\d{4}-/.test(text) && !Number.isNaN(Date.parse(text));
    if (isInstant) return text;
    if (/^\d+[smhd]$/.test(text)) return new Date(Date.now() - parseSeconds('--since', text) * 1_000).toISOString();
    throw new UsageError(`--since must be an instant such as 2026-11-30T10:00:00Z, or a time ago such as 15m, but is "${text}"`);
  }

  @Option({ flags: '--no-follow', description: 'end when all changes that there are have been shown' })
  parseFollow(): boolean {
    return false;
  }
}

/** Prints the changes that the options select. Database 1 may be away for a while. */
async function show(feed: Feed, options: TailOptions, statusColumn: string, signal: AbortSignal): Promise<void> {
  const { since, follow = true, json } = options;
  const matches = matcher(options, statusColumn);
  let cursor = since === undefined ? await feed.now() : await feed.at(new Date(since).toISOString());
  let isAway = false;
  while (!signal.aborted) {
    const page = await feed.read(cursor, PAGE_EVENTS).catch((error: unknown) => {
      if (!follow || error instanceof GoneException) throw error;
      if (!isAway) process.stderr.write(`Database 1 does not answer: ${(error as Error).message}. Trying again.\n`);
      return undefined;
    });
    isAway = page === undefined;
    for (const { text } of page?.events ?? []) {
      const event = JSON.parse(text) as Event;
      if (matches(event)) process.stdout.write(`${json ? inOneLine(text) : formatEvent(event, statusColumn)}\n`);
    }
    cursor = page?.to ?? cursor;
    if (page && !page.complete) continue;
    if (!follow) return;
    await delay(isAway ? readRetryMs : idlePollMs, undefined, { signal }).catch(() => undefined);
  }
}

/** A column of type json may contain line breaks between its values. */
function inOneLine(json: string): string {
  return json.replaceAll(/[\r\n]+/g, ' ');
}

function matcher({ email, operation, status, since }: TailOptions, statusColumn: string): (event: Event) => boolean {
  const key = email === undefined ? undefined : normaliseEmail(email);
  const from = since === undefined ? -Infinity : microseconds(since);
  return ({ subject, type, time, data }) =>
    (key === undefined || subject === key) &&
    (operation === undefined || type === `subscription.${operation}`) &&
    (status === undefined || (data.subscription[statusColumn] === status && type !== 'subscription.deleted')) &&
    microseconds(time) >= from;
}

/** Returns a time in µs since 1970. Date.parse ignores what is below a millisecond. */
function microseconds(time: string): number {
  const below = /\.\d{3}(\d{1,3})/.exec(time)?.[1] ?? '';
  return Date.parse(time) * 1_000 + Number(below.padEnd(3, '0'));
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function formatEvent({ id, type, subject, time, data }: Event, statusColumn: string): string {
  const { subscription, previous, actor, reason } = data;
  const before = previous[statusColumn];
  const status = `${before === undefined ? '' : `${asText(before)} → `}${asText(subscription[statusColumn])}`;
  const operation = type.replace('subscription.', '');
  return `${time}  ${id}  ${operation.padEnd(8)}  ${subject}  ${status}  by ${actor}${reason === null ? '' : ` (${reason})`}`;
}
