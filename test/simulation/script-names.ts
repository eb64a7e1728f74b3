/** Which script a call names, by the hash of its text; the text is known once it was sent whole. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

const folder = new URL('../../src/redis/lua/', import.meta.url);
/** Each file says in its first line what it does, and no two say the same. */
const byFirstLine = new Map(
  readdirSync(folder).map((file) => [
    readFileSync(new URL(file, folder), 'utf8').split('\n', 1)[0]!,
    file.replace('.lua', ''),
  ]),
);
const bySha = new Map<string, string>();

/** The name of the script and its arguments from the first key on; `null` for another command, or a hash that Redis lacks. */
export function scriptOf(args: readonly unknown[]): { name: string; args: readonly unknown[] } | null {
  const [command, text] = args as [string, string];
  if (command === 'EVAL') {
    const name = byFirstLine.get(text.split('\n', 1)[0]!);
    if (!name) throw new Error(`a script that is in no file: ${text.slice(0, 80)}`);
    bySha.set(createHash('sha1').update(text).digest('hex'), name);
    return { name, args: args.slice(3) };
  }
  if (command !== 'EVALSHA') return null;
  const name = bySha.get(text);
  return name ? { name, args: args.slice(3) } : null;
}
