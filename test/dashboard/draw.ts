import { colorOf, picture, text } from '../harness/svg.js';

/** A panel of Grafana's dashboard, as far as it is drawn. */
export interface Panel {
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit?: string;
      readonly thresholds?: { readonly steps: readonly { readonly color: string; readonly value: number | null }[] };
    };
  };
}

/** A curve: points of time (ms) and value. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [time: number, value: number])[];
}

/** Pixels of a cell of Grafana's grid, which has 24 columns, and around a panel. */
const [CELL_X, CELL_Y, GAP] = [50, 30, 4];
const STAT_COLORS: Readonly<Record<string, string>> = { green: '#37872d', orange: '#c4600b', red: '#c4162a' };
/** Suffixes of numbers, each a thousand times (in bytes 1,024 times) the one before. */
const SUFFIXES = ['', 'k', 'M', 'G'];

/** Draws the panels as SVG, where Grafana would place them. Between `from` and `to` (ms) is the time that curves show. */
export function drawDashboard(panels: readonly Panel[], data: ReadonlyMap<Panel, readonly Series[]>, from: number, to: number): string {
  const height = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * CELL_Y;
  const drawn = panels.map((panel) => {
    const { x, y } = panel.gridPos;
    return `<g transform="translate(${x * CELL_X},${y * CELL_Y})">${drawPanel(panel, data.get(panel) ?? [], from, to)}</g>`;
  });
  return picture(24 * CELL_X, height, drawn);
}

function drawPanel(panel: Panel, series: readonly Series[], from: number, to: number): string {
  const [width, height] = [panel.gridPos.w * CELL_X - GAP, panel.gridPos.h * CELL_Y - GAP];
  if (panel.type === 'row') return text(8, 20, panel.title, 'font-size="15" font-weight="bold"');
  if (panel.type === 'stat') return drawStat(panel, series, width, height);
  return `<rect width="${width}" height="${height}" fill="#181b1f"/>${text(8, 18, panel.title, 'font-weight="bold"')}${drawCurves(panel, series, { width, height, from, to })}`;
}

function drawStat(panel: Panel, series: readonly Series[], width: number, height: number): string {
  const value = series[0]?.points.at(-1)?.[1] ?? Number.NaN;
  const { unit, thresholds } = panel.fieldConfig!.defaults;
  const step = thresholds?.steps.findLast((candidate) => candidate.value === null || value >= candidate.value);
  const box = `<rect width="${width}" height="${height}" fill="${STAT_COLORS[step?.color ?? ''] ?? '#181b1f'}"/>`;
  return `${box}${text(8, 18, panel.title, 'font-size="11"')}${text(width / 2, height / 2 + 20, format(value, unit), 'font-size="30" text-anchor="middle"')}`;
}

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly from: number;
  readonly to: number;
}

function drawCurves({ fieldConfig }: Panel, series: readonly Series[], { width, height, from, to }: Frame): string {
  const unit = fieldConfig?.defaults.unit;
  const [left, top, right, bottom] = [58, 30, width - 10, height - 34];
  const highest = Math.max(...series.flatMap(({ points }) => points.map(([, value]) => value))) || 1;
  const lines = [0, 0.5, 1].map((share) => {
    const y = bottom - share * (bottom - top);
    return `<path d="M${left} ${y}H${right}" stroke="#2c3235"/>${text(left - 6, y + 4, format(share * highest, unit), 'text-anchor="end" font-size="10"')}`;
  });
  const curves = series.map(({ points }, index) => {
    const path = points.map(([time, value]) => {
      const x = left + ((time - from) / (to - from)) * (right - left);
      return `${x.toFixed(0)},${(bottom - (Math.max(0, value) / highest) * (bottom - top)).toFixed(1)}`;
    });
    return `<polyline points="${path.join(' ')}" fill="none" stroke="${colorOf(index)}" stroke-width="1.5"/>`;
  });
  return [...lines, ...curves, drawLegend(series, width, height - 10)].join('');
}

/** Draws the names of the curves, as many as there is room for. */
function drawLegend(series: readonly Series[], width: number, y: number): string {
  let x = 10;
  return series
    .map(({ name }, index) => {
      const start = x;
      x += 24 + name.length * 6;
      if (x > width) return '';
      const mark = `<rect x="${start}" y="${y - 6}" width="12" height="3" fill="${colorOf(index)}"/>`;
      return mark + text(start + 16, y, name, 'font-size="10"');
    })
    .join('');
}

/** Prints a value in a unit of Grafana's. */
function format(value: number, unit = 'none'): string {
  if (!Number.isFinite(value)) return 'no data';
  if (unit === 'percentunit') return `${(value * 100).toFixed(0)} %`;
  if (unit === 's' && value > 0 && value < 1) return `${(value * 1_000).toPrecision(3)} ms`;
  const base = unit === 'bytes' ? 1_024 : 1_000;
  const power = unit === 's' || value < 1 ? 0 : Math.min(Math.floor(Math.log(value) / Math.log(base)), SUFFIXES.length - 1);
  const number = Number((value / base ** power).toPrecision(3));
  return `${number}${SUFFIXES[power]!}${unit === 'bytes' ? 'B' : ''}${unit === 's' ? ' s' : ''}${unit === 'ops' ? '/s' : ''}`;
}
