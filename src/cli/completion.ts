/** `warmline completion`: a script that lets a shell finish commands, options and their choices, made from the commands. */
import { Argument, type Command } from 'commander';
import { addExamples } from './examples.ts';
import { say } from './table.ts';

const SHELLS = { bash, zsh, fish };
type Shell = keyof typeof SHELLS;

const EXAMPLES = `
Examples:
  $ source <(warmline completion bash)                                           bash, for this terminal
  $ warmline completion bash >> ~/.bashrc                                        bash, for all that follow
  $ warmline completion zsh > "\${fpath[1]}/_warmline"                            zsh; then start a new one
  $ warmline completion fish > ~/.config/fish/completions/warmline.fish          fish

Make it anew after an update: it knows the commands of the version that printed it.`;

/** `main.ts` loads the files of all commands for this one. */
export function register(command: Command): void {
  command.addArgument(new Argument('<shell>', 'for which shell').choices(Object.keys(SHELLS)));
  addExamples(command, EXAMPLES);
  command.action((shell: Shell) => say(SHELLS[shell](nodesOf(command.parent!))));
}

type Word = { word: string; about: string };
/** A place on the command line: after `ips list`, these words may follow, and these values after an option of it. */
type Node = {
  /** Without the name of the program; the empty text is the program itself. */
  at: string;
  commands: Word[];
  options: (Word & { choices: readonly string[]; takesValue: boolean })[];
  /** What its first argument may be, where that is known. */
  choices: readonly string[];
};

function nodesOf(program: Command): Node[] {
  const nodes: Node[] = [];
  const visit = (command: Command, at: string) => {
    const help = command.createHelp();
    const commands = help.visibleCommands(command).filter((one) => at === '' || one.name() !== 'help');
    nodes.push({
      at,
      commands: commands.map((one) => ({ word: one.name(), about: oneLine(one.description()) })),
      options: help
        .visibleOptions(command)
        .flatMap(({ long, description, argChoices = [], required, optional }) =>
          long
            ? [
                {
                  word: long,
                  about: oneLine(description),
                  choices: argChoices,
                  takesValue: required || optional,
                },
              ]
            : [],
        ),
      choices: command.registeredArguments[0]?.argChoices ?? [],
    });
    for (const one of command.commands) visit(one, `${at} ${one.name()}`.trim());
    // It is none of the commands, and is followed by one.
    if (at === '')
      nodes.push({
        ...{ at: 'help', options: [], choices: [] },
        commands: nodes[0]!.commands.filter(({ word }) => word !== 'help'),
      });
  };
  visit(program, '');
  return nodes;
}

/** Descriptions go between quotes, and zsh parts them from the word with a colon. */
const oneLine = (text: string) => text.replace(/\s+/g, ' ').replaceAll("'", '’');

const paths = (nodes: readonly Node[]) => nodes.map(({ at }) => at).filter((at) => at !== '');
const options = (nodes: readonly Node[]) =>
  nodes.flatMap(({ at, options: some }) => some.map((option) => ({ at, ...option })));

/** A step from one place to the next, `ips` and then `list`; from the top there is a blank before the word. */
const steps = (nodes: readonly Node[]) =>
  paths(nodes).map((at) => (at.includes(' ') ? `'${at}'` : `' ${at}'`));

function bash(nodes: readonly Node[]): string {
  const values = options(nodes).filter(({ takesValue }) => takesValue);
  return `# bash completion of warmline
_warmline() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" at="" word words=""
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$at $word" in
      ${steps(nodes).join('|')}) at="\${at:+$at }$word" ;;
    esac
  done
  case "$at $before" in
${values.map(({ at, word, choices }) => `    '${at} ${word}') COMPREPLY=($(compgen -W '${choices.join(' ')}' -- "$current")); return ;;`).join('\n')}
  esac
  case "$at" in
${nodes.map((node) => `    '${node.at}') words='${wordsOf(node).join(' ')}' ;;`).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _warmline warmline`;
}

const wordsOf = (node: Node) => [
  ...node.commands.map(({ word }) => word),
  ...node.choices,
  ...node.options.map(({ word }) => word),
];

function zsh(nodes: readonly Node[]): string {
  const values = options(nodes).filter(({ takesValue }) => takesValue);
  const described = ({ word, about }: Word) => `'${word}:${about.replaceAll(':', '\\:')}'`;
  const foundAt = (node: Node) =>
    [
      ...node.commands.map(described),
      ...node.choices.map((word) => `'${word}'`),
      ...node.options.map(described),
    ].join(' ');
  return `#compdef warmline
_warmline() {
  local at='' word
  local -a found
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at $word" in
      (${steps(nodes).join('|')}) at="\${at:+$at }$word" ;;
    esac
  done
  case "$at \${words[CURRENT-1]}" in
${values.map(({ at, word, choices }) => `    ('${at} ${word}') ${choices.length > 0 ? `compadd -- ${choices.join(' ')}; ` : ''}return ;;`).join('\n')}
  esac
  case "$at" in
${nodes.map((node) => `    ('${node.at}') found=(${foundAt(node)}) ;;`).join('\n')}
  esac
  _describe 'warmline' found
}
if [[ "\${funcstack[1]}" == _warmline ]]; then _warmline "$@"; else compdef _warmline warmline; fi`;
}

function fish(nodes: readonly Node[]): string {
  const line = (at: string, rest: string) => `complete -c warmline -n '__warmline_at "${at}"' ${rest}`;
  return `# fish completion of warmline
function __warmline_at
    set -l at ''
    set -l tokens (commandline -opc)
    set -e tokens[1]
    for word in $tokens
        switch "$at $word"
            case ${steps(nodes).join(' ')}
                set at (string trim -- "$at $word")
        end
    end
    test "$at" = "$argv[1]"
end
complete -c warmline -f
${nodes
  .flatMap((node) => [
    ...node.commands.map(({ word, about }) => line(node.at, `-a ${word} -d '${about}'`)),
    ...node.choices.map((word) => line(node.at, `-a ${word}`)),
    ...node.options.map(({ word, about, choices, takesValue }) =>
      line(
        node.at,
        `-l ${word.slice(2)} ${takesValue ? '-x ' : ''}${choices.length > 0 ? `-a '${choices.join(' ')}' ` : ''}-d '${about}'`,
      ),
    ),
  ])
  .join('\n')}`;
}
