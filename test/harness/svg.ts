const COLORS = ['#73bf69', '#f2cc0c', '#5794f2', '#ff780a', '#f2495c', '#b877d9', '#8ab8ff', '#c0d8ff'];

/** Returns the color of a curve or bar. */
export function colorOf(index: number): string {
  return COLORS[index % COLORS.length]!;
}

/** Returns a text element. Content is escaped, attributes are not. */
export function text(x: number, y: number, content: string, attributes: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x}" y="${y}" ${attributes}>${escaped}</text>`;
}

/** Returns a dark picture with these elements. */
export function picture(width: number, height: number, elements: readonly string[]): string {
  const size = `width="${width}" height="${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="#ccccdc">
<rect ${size} fill="#111217"/>
${elements.join('\n')}
</svg>
`;
}
