/** Returns the text that a call of Nest's logger writes: that of an event with a code, or the text itself. */
export function loggedText(line: unknown): string {
  return typeof line === 'object' && line !== null && 'message' in line ? String(line.message) : String(line);
}
