/** The README and the pages of docs/, cut into their blocks: what stands in fences, and what is indented by four. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export const PAGES: readonly string[] = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .sort()
    .map((name) => `docs/${name}`),
];

export type Block = {
  /** Of `<!-- tested: name -->` on the line before it. */
  readonly name: string | null;
  /** What stands behind the fence; `null` for an indented block. */
  readonly language: string | null;
  readonly text: string;
  /** Where it begins, counted from 1. */
  readonly line: number;
};

const MARK = /^\s*<!-- tested: ([\w-]+) -->$/;
const FENCE = /^( *)```(\w*)$/;

export function blocksOf(page: string): Block[] {
  const lines = readFileSync(join(root, page), 'utf8').split('\n');
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at++) {
    const name = MARK.exec(lines[at - 1] ?? '')?.[1] ?? null;
    const fence = FENCE.exec(lines[at]!);
    if (fence) {
      const [, indent, language] = fence;
      const end = lines.indexOf(`${indent}\`\`\``, at + 1);
      if (end === -1) throw new Error(`${page}:${at + 1}: this block has no end`);
      const inside = lines.slice(at + 1, end).map((line) => line.slice(indent!.length));
      blocks.push({ name, language: language!, text: `${inside.join('\n')}\n`, line: at + 1 });
      at = end;
    } else if (lines[at]!.startsWith('    ') && (lines[at - 1] ?? '').trim() === '') {
      let end = at;
      while (/^( {4}|$)/.test(lines[end] ?? 'x') && end < lines.length) end++;
      const inside = lines.slice(at, end).map((line) => line.slice(4));
      blocks.push({ name, language: null, text: `${inside.join('\n').trimEnd()}\n`, line: at + 1 });
      at = end - 1;
    }
  }
  return blocks;
}

/** The block of a page that follows `<!-- tested: name -->`. */
export function block(page: string, name: string): string {
  const [found, ...others] = blocksOf(page).filter((each) => each.name === name);
  if (!found || others.length > 0) throw new Error(`${page} has not one block marked "tested: ${name}"`);
  return found.text;
}
