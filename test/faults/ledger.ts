/**
 * What a process was told, written down before it goes on: appended and synced, so that it outlives the process, and the
 * books can be compared afterwards. One line is one thing; a line that a kill cut off in its middle does not count.
 */
import { closeSync, fdatasync, openSync, readSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';

const sync = promisify(fdatasync);

export type Ledger = { write(lines: readonly string[]): Promise<void> };

export function openLedger(file: string): Ledger {
  const fd = openSync(file, 'a');
  return {
    async write(lines) {
      if (lines.length === 0) return;
      writeSync(fd, `${lines.join('\n')}\n`);
      await sync(fd);
    },
  };
}

/** Reads a ledger that somebody is still writing: each call gives the lines that are new and whole. */
export function followLedger(file: string): { read(): string[]; close(): void } {
  const fd = openSync(file, 'a+');
  const buffer = Buffer.alloc(256 * 1024);
  let [at, rest] = [0, ''];
  return {
    read() {
      let text = rest;
      for (;;) {
        const bytes = readSync(fd, buffer, 0, buffer.length, at);
        if (bytes === 0) break;
        at += bytes;
        text += buffer.toString('latin1', 0, bytes);
      }
      const lines = text.split('\n');
      rest = lines.pop()!;
      return lines;
    },
    close: () => closeSync(fd),
  };
}
