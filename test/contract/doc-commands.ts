/** A command of a document, with what the comment behind it says of the answer. */
export interface DocCommand {
  readonly command: string;
  /** The first is what it is when the page is followed from top to bottom. */
  readonly status: number | undefined;
  /** Headers that the comment names. */
  readonly headers: readonly string[];
}

const HEADERS = ['ETag', 'Link', 'Location', 'Preference-Applied'];

/** The commands of all `sh` blocks that use curl, in their order. */
export function commandsOf(markdown: string): DocCommand[] {
  const blocks = [...markdown.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block!).filter((block) => block.includes('curl '));
  return blocks.flatMap((block) =>
    block
      .replaceAll(/\\\n\s*/g, '')
      .trim()
      .split('\n')
      .map((line) => {
        const [, command = line, comment = ''] = /^(.*?)\s+# (.*)$/.exec(line) ?? [];
        const status = /^\d{3}\b/.exec(comment)?.[0];
        return {
          command,
          status: status === undefined ? undefined : Number(status),
          headers: HEADERS.filter((name) => new RegExp(`, ${name}\\b`).test(comment)),
        };
      }),
  );
}
