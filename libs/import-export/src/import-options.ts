import { wrongFields } from '#http';
import type { DateFormat } from './dates.js';

/** The options of a request that say how to read a file, as texts. */
export interface GivenFileOptions {
  readonly preset?: Preset | undefined;
  readonly columns?: string | undefined;
  readonly status_map?: string | undefined;
  readonly default_status?: string | undefined;
  readonly date_format?: DateFormat | undefined;
  readonly unknown_columns?: UnknownColumns | undefined;
}

/** How to read a file whose columns, statuses and dates are not those of the API. */
export interface FileOptions {
  /** Whether any option was given. Without one, JSON has the exact names of PUT. */
  readonly given: boolean;
  /** Fields by the {@link comparable} name of their column in the file. */
  readonly columns: ReadonlyMap<string, string>;
  /** Names of the columns that the caller mapped, and that the file must therefore have. */
  readonly expected: readonly string[];
  /** Statuses by the {@link comparable} value in the file. */
  readonly statusMap: ReadonlyMap<string, string>;
  readonly defaultStatus: string | undefined;
  readonly dateFormat: DateFormat | undefined;
  readonly ignoresUnknownColumns: boolean;
}

export const UNKNOWN_COLUMNS = ['refuse', 'ignore'] as const;
type UnknownColumns = (typeof UNKNOWN_COLUMNS)[number];

type Preset = 'stripe' | 'mailchimp' | 'ghost' | 'substack' | 'listmonk';
type PresetOptions = Omit<GivenFileOptions, 'preset'>;

/** The options for the exports of other tools. docs/api/import-export.md says which export each is for. */
const PRESET_OPTIONS: Readonly<Record<Preset, PresetOptions>> = {
  stripe: {
    columns: 'Customer Email:email,Status:status,Plan:plan,Current Period End (UTC):access_until,Cancel At Period End:cancel_at_period_end',
    status_map: 'unpaid:past_due,incomplete:pending,incomplete_expired:expired',
    date_format: 'iso',
    unknown_columns: 'ignore',
  },
  mailchimp: { columns: 'Email Address:email', default_status: 'active', unknown_columns: 'ignore' },
  ghost: {
    columns: 'subscribed_to_emails:status,tiers:plan',
    status_map: 'true:active,false:canceled',
    date_format: 'iso',
    unknown_columns: 'ignore',
  },
  substack: {
    columns: 'active_subscription:status,expiry:access_until',
    status_map: 'true:active,false:canceled',
    date_format: 'iso',
    unknown_columns: 'ignore',
  },
  listmonk: {
    columns: 'attributes:metadata',
    status_map: 'enabled:active,disabled:paused,blocklisted:canceled',
    unknown_columns: 'ignore',
  },
};
export const PRESETS = Object.keys(PRESET_OPTIONS) as readonly Preset[];

/** Returns a name or value in the form in which it is compared: without regard to case, spaces, underscores and hyphens. */
export function comparable(text: string): string {
  return text.toLowerCase().replace(/[\s_-]+/g, '');
}

/**
 * Reads the options of a request. An option replaces the preset's; columns and statuses are added to the preset's, where a field that the
 * request maps is no longer mapped by the preset.
 * @param fields the fields that an import writes.
 * @throws ProblemException
 */
export function readFileOptions(given: GivenFileOptions, fields: readonly string[], statuses: readonly string[]): FileOptions {
  const preset: PresetOptions = given.preset === undefined ? {} : PRESET_OPTIONS[given.preset];
  const columns = pairs(given.columns);
  const statusMap = pairs(given.status_map);
  const errors = [
    {
      field: 'columns',
      holds: columns?.every(([, field]) => fields.includes(field)),
      detail: `must be name:field pairs separated by commas, as in Email Address:email, with the fields ${fields.join(', ')}`,
    },
    {
      field: 'columns',
      holds: new Set(columns?.map(([name]) => comparable(name))).size === (columns?.length ?? 0),
      detail: 'must map each column once',
    },
    {
      field: 'status_map',
      holds: statusMap?.every(([, status]) => statuses.includes(status)),
      detail: `must be value:status pairs separated by commas, as in subscribed:active, with the statuses ${statuses.join(', ')}`,
    },
    {
      field: 'default_status',
      holds: given.default_status === undefined || statuses.includes(given.default_status),
      detail: `must be one of ${statuses.join(', ')}`,
    },
  ].filter(({ holds }) => !holds);
  if (errors.length > 0) throw wrongFields(errors.map(({ field, detail }) => ({ field, detail })));
  const mapped = new Set(columns!.map(([, field]) => field));
  return {
    given: ['preset', ...OPTION_NAMES].some((name) => given[name as keyof GivenFileOptions] !== undefined),
    columns: byName([...pairs(preset.columns)!.filter(([, field]) => !mapped.has(field)), ...columns!]),
    expected: columns!.map(([name]) => name),
    statusMap: byName([...pairs(preset.status_map)!, ...statusMap!]),
    defaultStatus: given.default_status ?? preset.default_status,
    dateFormat: given.date_format ?? preset.date_format,
    ignoresUnknownColumns: (given.unknown_columns ?? preset.unknown_columns) === 'ignore',
  };
}

const OPTION_NAMES = [
  'columns',
  'status_map',
  'default_status',
  'date_format',
  'unknown_columns',
] as const satisfies readonly (keyof PresetOptions)[];

/** Splits `name:value,name:value` at the commas and at the last colon of each pair. Returns undefined if a pair has no name or no value. */
function pairs(text: string | undefined): (readonly [name: string, value: string])[] | undefined {
  if (text === undefined) return [];
  const all = text.split(',').map((pair) => {
    const colon = pair.lastIndexOf(':');
    return [pair.slice(0, Math.max(0, colon)).trim(), pair.slice(colon + 1).trim()] as const;
  });
  return all.every(([name, value]) => name !== '' && value !== '') ? all : undefined;
}

function byName(list: readonly (readonly [name: string, value: string])[]): Map<string, string> {
  return new Map(list.map(([name, value]) => [comparable(name), value]));
}
