import { Command, InjectCommander } from 'nest-commander';
import { CommandWithUsage, UsageError } from './usage.js';

const PROGRAM = 'subscription-sync';
const FUNCTION = '_subscription_sync';

/** A command as commander describes it. */
interface CommandNode {
  name(): string;
  description(): string;
  readonly commands: readonly CommandNode[];
  readonly options: readonly {
    readonly long?: string | null;
    readonly description: string;
    readonly required: boolean;
    readonly argChoices?: readonly string[];
  }[];
}

/** A command with what may follow it. */
interface Place {
  /** `/keys/create`; '' for the program itself. */
  readonly path: string;
  readonly words: readonly Word[];
}

interface Word {
  readonly text: string;
  readonly description: string;
  /** The values that the option takes: none for a command and for a flag, an empty list where any text is allowed. */
  readonly values?: readonly string[];
}

/** The scripts are made from the commands themselves, so that they know every command and every option. */
@Command({
  name: 'completion',
  arguments: '[shell]',
  description: 'Print the script with which a shell completes commands and options: bash, zsh or fish',
})
export class CompletionCommand extends CommandWithUsage {
  constructor(@InjectCommander() private readonly program: CommandNode) {
    super();
  }

  async run([shell]: string[]): Promise<void> {
    const script = SCRIPTS.get(shell ?? '');
    if (!script) throw new UsageError(`Name the shell: ${[...SCRIPTS.keys()].join(', ')}`);
    process.stdout.write(script(placesOf(this.program, '')));
  }
}

const SCRIPTS: ReadonlyMap<string, (places: readonly Place[]) => string> = new Map([
  ['bash', bashScript],
  ['zsh', zshScript],
  ['fish', fishScript],
]);

function placesOf(command: CommandNode, path: string): Place[] {
  const commands = command.commands.map((sub): Word => ({ text: sub.name(), description: sub.description() }));
  const options = command.options.map(({ long, description, required, argChoices }): Word => ({
    text: long ?? '',
    description,
    ...(required ? { values: argChoices ?? [] } : {}),
  }));
  const help = { text: '--help', description: 'show the usage' };
  return [{ path, words: [...commands, ...options, help] }, ...command.commands.flatMap((sub) => placesOf(sub, `${path}/${sub.name()}`))];
}

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Returns the lines of a `case` of sh for each place that `words` describes. */
function cases(entries: readonly (readonly [pattern: string, command: string])[], indent: string): string {
  return entries.map(([pattern, command]) => `${indent}${quote(pattern)}) ${command} ;;\n`).join('');
}

const paths = (places: readonly Place[]): string =>
  places
    .filter(({ path }) => path !== '')
    .map(({ path }) => path)
    .join('|');

function valuesOf(places: readonly Place[]): { readonly after: string; readonly values: readonly string[] }[] {
  return places.flatMap(({ path, words }) => words.flatMap(({ text, values }) => (values ? [{ after: `${path} ${text}`, values }] : [])));
}

function bashScript(places: readonly Place[]): string {
  const reply = (words: readonly string[]): string => `COMPREPLY=($(compgen -W ${quote(words.join(' '))} -- "$current"))`;
  return `${FUNCTION}() {
  local current=\${COMP_WORDS[COMP_CWORD]} path='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path/\${COMP_WORDS[i]}" in
      ${paths(places)}) path="$path/\${COMP_WORDS[i]}" ;;
    esac
  done
  COMPREPLY=()
  case "$path \${COMP_WORDS[COMP_CWORD - 1]}" in
${cases(
  valuesOf(places).map(({ after, values }) => [after, `${reply(values)}; return`]),
  '    ',
)}  esac
  case "$path" in
${cases(
  places.map(({ path, words }) => [path, reply(words.map(({ text }) => text))]),
  '    ',
)}  esac
}
complete -F ${FUNCTION} ${PROGRAM}
`;
}

function zshScript(places: readonly Place[]): string {
  const describe = (words: readonly Word[]): string =>
    `found=(${words.map(({ text, description }) => quote(`${text}:${description}`)).join(' ')})`;
  return `#compdef ${PROGRAM}
${FUNCTION}() {
  local at='' i
  local -a found
  for ((i = 2; i < CURRENT; i++)); do
    case "$at/\${words[i]}" in
      ${paths(places)}) at="$at/\${words[i]}" ;;
    esac
  done
  case "$at \${words[CURRENT - 1]}" in
${cases(
  valuesOf(places).map(({ after, values }) => [after, `compadd -- ${values.map(quote).join(' ')}; return`]),
  '    ',
)}  esac
  case "$at" in
${cases(
  places.map(({ path, words }) => [path, describe(words)]),
  '    ',
)}  esac
  _describe ${PROGRAM} found
}
compdef ${FUNCTION} ${PROGRAM}
`;
}

function fishScript(places: readonly Place[]): string {
  const fishQuote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", `\\'`)}'`;
  const lines = places.flatMap(({ path, words }) =>
    words.map(({ text, description, values }) => {
      const word = text.startsWith('--') ? `-l ${text.slice(2)}` : `-a ${text}`;
      const value = values === undefined ? '' : ` -x${values.length > 0 ? ` -a ${fishQuote(values.join(' '))}` : ''}`;
      return `complete -c ${PROGRAM} -n ${fishQuote(`test (${FUNCTION}_at) = "${path}"`)} ${word}${value} -d ${fishQuote(description)}`;
    }),
  );
  return `function ${FUNCTION}_at
  set -l at ''
  for word in (commandline -opc)[2..-1]
    switch "$at/$word"
      case ${paths(places).replaceAll('|', ' ')}
        set at "$at/$word"
    end
  end
  echo $at
end
complete -c ${PROGRAM} -f
${lines.join('\n')}
`;
}
