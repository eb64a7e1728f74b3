/** Examples in the help: all of them with a family of commands, and with each of its commands those that call it. */
import type { Command } from 'commander';

export function addExamples(command: Command, text: string): void {
  command.addHelpText('afterAll', ({ command: shown }) =>
    shown === command ? text : examplesOf(pathOf(shown), text),
  );
}

/** The words with which a command is called: `warmline ips list`. */
export function pathOf(command: Command): string {
  return command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
}

function examplesOf(path: string, text: string): string {
  const calls = (line: string) => `${line} `.includes(`${path} `) || line.endsWith(`${path})`);
  const lines = text.split('\n').filter((line) => line.startsWith('  $') && calls(line));
  return lines.length === 0 ? '' : `\nExamples:\n${lines.join('\n')}`;
}
