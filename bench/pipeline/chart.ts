import { colorOf, picture, text } from '../../test/harness/svg.js';
import type { Spread } from './results.js';

const WIDTH = 840;
const ROW_HEIGHT = 26;
/** Pixels of a letter of the names left of bars, and of the numbers right of them. */
const [LETTER, NUMBERS] = [7, 80];
const PLOT_HEIGHT = 260;
const GRID = '#2c3235';

interface Bar {
  readonly name: string;
  readonly value: Spread;
}

/** Draws the medians as horizontal bars, with a line from the least to the greatest value. */
export function drawBars(title: string, unit: string, bars: readonly Bar[]): string {
  const left = 20 + LETTER * Math.max(...bars.map(({ name }) => name.length));
  const scale = (WIDTH - left - NUMBERS) / (Math.max(...bars.map(({ value }) => value.max)) || 1);
  const rows = bars.flatMap(({ name, value: { median, min, max } }, index) => {
    const y = 44 + index * ROW_HEIGHT;
    const middle = y + 9;
    return [
      text(left - 8, y + 13, name, 'text-anchor="end"'),
      `<rect x="${left}" y="${y}" width="${(median * scale).toFixed(1)}" height="18" fill="${colorOf(index)}"/>`,
      `<path d="M${(left + min * scale).toFixed(1)} ${middle}H${(left + max * scale).toFixed(1)}" stroke="#ffffff" stroke-width="2"/>`,
      text(left + max * scale + 6, y + 13, format(median), 'font-size="11"'),
    ];
  });
  return picture(WIDTH, 56 + bars.length * ROW_HEIGHT, [headline(title, unit), ...rows]);
}

interface Line {
  readonly name: string;
  readonly values: readonly (Spread | undefined)[];
}

/** Draws the medians as lines on a logarithmic scale, over evenly spaced labels. */
export function drawLines(title: string, unit: string, labels: readonly string[], lines: readonly Line[]): string {
  const [left, top, right] = [60, 40, WIDTH - 20];
  const bottom = top + PLOT_HEIGHT;
  const medians = lines.flatMap(({ values }) => values.flatMap((value) => (value && value.median > 0 ? [Math.log10(value.median)] : [])));
  const [low, high] = [Math.floor(Math.min(...medians)), Math.max(Math.ceil(Math.max(...medians)), Math.floor(Math.min(...medians)) + 1)];
  const xOf = (index: number): number => left + ((index + 0.5) / labels.length) * (right - left);
  const yOf = (value: number): number => bottom - ((Math.log10(value) - low) / (high - low)) * (bottom - top);
  const grid = Array.from({ length: high - low + 1 }, (_, index) => {
    const y = yOf(10 ** (low + index));
    return `<path d="M${left} ${y}H${right}" stroke="${GRID}"/>${text(left - 6, y + 4, format(10 ** (low + index)), 'text-anchor="end" font-size="10"')}`;
  });
  const names = labels.map((label, index) => text(xOf(index), bottom + 18, label, 'text-anchor="middle" font-size="11"'));
  const curves = lines.map(({ values }, index) => {
    const points = values.flatMap((value, x) =>
      value && value.median > 0 ? [`${xOf(x).toFixed(1)},${yOf(value.median).toFixed(1)}`] : [],
    );
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${colorOf(index)}" stroke-width="2"/>`;
  });
  const legend = lines.map(({ name }, index) => {
    const y = bottom + 42 + index * 18;
    return `<rect x="${left}" y="${y - 7}" width="14" height="4" fill="${colorOf(index)}"/>${text(left + 22, y, name, 'font-size="11"')}`;
  });
  return picture(WIDTH, bottom + 46 + lines.length * 18, [headline(title, unit), ...grid, ...names, ...curves, ...legend]);
}

function headline(title: string, unit: string): string {
  return text(12, 22, `${title}, ${unit}`, 'font-size="14" font-weight="bold"');
}

function format(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));
}
