#!/usr/bin/env node
/** The command `warmline`: its help, the command that was asked for, and one sentence where something went wrong. */
import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { BadSchedule } from '../../schedules/schedule.ts';
import { WarmlineError } from '../warmup/errors.ts';
import { COMMANDS } from './commands.ts';
import { isInteractive } from './screen.ts';

/** A command that was called wrongly ends with 2, one that failed with 1; as getopt and grep have it. */
const MISUSE = 2;
const FAILED = 1;

const EXAMPLES = `
Without a command, on a terminal: the fleet, live. It asks the API of this folder, or that of WARMLINE_URL.

Examples:
  $ warmline serve                                 start it here; then, in a second terminal:
  $ warmline inventory add 203.0.113.0/28          the addresses that you own
  $ warmline ips create
  $ warmline ips start 203.0.113.0
  $ warmline                                       how all of them are doing
  $ warmline ips start --help                      options and examples of a command`;

const program = new Command('warmline')
  .description('Warms up dedicated e-mail IPs: how much each may send, at every moment, exactly.')
  .version(packageVersion(), '-V, --version', 'print the version')
  .helpOption('-h, --help', 'print this help')
  .helpCommand('help [command]', 'print the help of a command')
  .addHelpText('after', EXAMPLES)
  .showSuggestionAfterError()
  .exitOverride()
  // One sentence on one line, commander's hint ("Did you mean ...?") included, or ours where it has none.
  .configureOutput({
    outputError: (text, write) => write(sentence(`${text.replace(/^error: /, '').trim()}${hintFor(text)}`)),
  });

await run(process.argv.slice(2));

async function run(args: string[]): Promise<void> {
  // `warmline dry-run | head -1`: whoever reads has seen enough. That is no error, and nobody is left to tell.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit();
      throw error;
    });
  }
  try {
    if (args.length === 0 && isInteractive()) {
      await (await import('./fleet-view.ts')).showFleet();
      // An answer that is still on its way is nobody's any more.
      process.exit();
    }
    const asked = args.find((arg) => !arg.startsWith('-') && arg !== 'help');
    for (const { name, summary, load } of COMMANDS) {
      const command = program.command(name).description(summary);
      if (name === asked || asked === 'completion') (await load()).register(command);
    }
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    process.exitCode = report(error);
  }
}

/** Says what went wrong and returns the exit code. Only what nobody foresaw comes with a stack. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : MISUSE; // it has spoken already
  if (error instanceof BadSchedule || error instanceof WarmlineError) {
    process.stderr.write(sentence(error.message));
    return error.code === 'invalid' || error.code === 'bad_schedule' ? MISUSE : FAILED;
  }
  process.stderr.write(`warmline: unexpected: ${error instanceof Error ? error.stack : String(error)}\n`);
  return FAILED;
}

/** Where to look, unless commander said it. */
function hintFor(text: string): string {
  if (text.includes('Did you mean')) return '';
  if (text.startsWith('error: unknown command')) return '; --help lists what there is';
  return /^error: (unknown option|missing required|required option|too many)/.test(text)
    ? '; --help shows how it is called'
    : '';
}

function sentence(text: string): string {
  return `warmline: ${text.trim().replace(/\s*\n\s*/g, ' ')}\n`;
}

/** By the package's own name, because this file lies one folder deeper once it is built. */
function packageVersion(): string {
  const { version } = createRequire(import.meta.url)('warmline/package.json') as { version: string };
  return version;
}
