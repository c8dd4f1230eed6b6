/** A command of a document, with what the comment after it says about the response. */
export interface DocCommand {
  readonly command: string;
  /** The first status in the comment: that of the response when the page is followed from top to bottom. */
  readonly status: number | undefined;
  /** Headers of the response that the comment names. */
  readonly headers: readonly string[];
}

const HEADERS = ['ETag', 'Link', 'Location', 'Preference-Applied'];

/** Returns the commands of all `sh` blocks that use curl, in their order. */
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
