/** What people read: tables without lines, so that they can be cut and pasted, in colour only on a terminal. */
import { styleText } from 'node:util';
import Table from 'cli-table3';

import { grouped } from '../warmup/words.ts';

export { counted, grouped, lasting } from '../warmup/words.ts';

export type Column<Row> = { head: string; right?: boolean; cell: (row: Row) => string };

export type Colour = 'bold' | 'dim' | 'green' | 'yellow' | 'red';

/** A terminal that wants them. https://no-color.org */
export function wantsColours({ stdout, env }: Pick<NodeJS.Process, 'stdout' | 'env'> = process): boolean {
  return stdout.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
}

export const coloured = (colour: Colour, text: string) =>
  wantsColours() ? styleText(colour, text, { validateStream: false }) : text;

const OF_STATUS: Record<string, Colour> = {
  warming: 'yellow',
  active: 'green',
  cooldown: 'dim',
  released: 'dim',
};
export const colourOfStatus = (text: string): Colour | undefined => OF_STATUS[text];
export const status = (text: string) => (OF_STATUS[text] ? coloured(OF_STATUS[text], text) : text);

const EDGES = [
  ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
  ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'],
];

export function asTable<Row>(columns: Column<Row>[], rows: readonly Row[]): string {
  const table = new Table({
    chars: { ...Object.fromEntries(EDGES.map((edge) => [edge, ''])), middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: columns.map(({ right }) => (right ? 'right' : 'left')),
  });
  table.push(
    columns.map(({ head }) => coloured('bold', head)),
    ...rows.map((row) => columns.map(({ cell }) => cell(row))),
  );
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** A name that somebody gave, without what would move the cursor of whoever lists it. */
export const plain = (text: string) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '�');

export const shorten = (text: string, most = 40) =>
  text.length <= most ? text : `${text.slice(0, most - 1)}…`;

/** `-1` is unlimited on the wire. */
export const limit = (value: number) => (value === -1 ? 'unlimited' : grouped(value));
/** To the minute: `2026-01-10 10:00 UTC`. */
export const time = (iso: string | null) =>
  iso === null ? '' : `${new Date(iso).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
export const say = (text: string) => void process.stdout.write(`${text}\n`);
export const sayJson = (value: unknown) => say(JSON.stringify(value, null, 2));
