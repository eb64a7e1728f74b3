/** `warmline <name> ...` in the process of the test, as each start of node costs half a second. */
import { Command, CommanderError } from 'commander';
import { vi } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.ts';
import { WarmlineError } from '../../src/warmup/errors.ts';

export type Run = { code: number; out: string; err: string };

const sentence = (text: string) => `warmline: ${text.trim().replace(/\s*\n\s*/g, ' ')}\n`;

/** With the sentence and the exit code that `main.ts` makes of an error. */
export async function inProcess(name: string, ...args: string[]): Promise<Run> {
  let [out, err] = ['', ''];
  const toOut = (text: unknown) => {
    out += String(text);
    return true;
  };
  const toErr = (text: unknown) => {
    err += String(text);
    return true;
  };
  const command = new Command('warmline').command(name).exitOverride();
  command.configureOutput({
    writeOut: toOut,
    writeErr: (text) => void toErr(sentence(text.replace(/^error: /, ''))),
  });
  const written = [
    vi.spyOn(process.stdout, 'write').mockImplementation(toOut),
    vi.spyOn(process.stderr, 'write').mockImplementation(toErr),
  ];
  try {
    (await COMMANDS.find((one) => one.name === name)!.load()).register(command);
    await command.parseAsync(args, { from: 'user' });
    return { code: 0, out, err };
  } catch (error) {
    if (error instanceof CommanderError) return { code: error.exitCode === 0 ? 0 : 2, out, err };
    if (!(error instanceof WarmlineError)) throw error;
    return { code: error.code === 'invalid' ? 2 : 1, out, err: err + sentence(error.message) };
  } finally {
    for (const spy of written) spy.mockRestore();
  }
}
