import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';

/**
 * Who is process 4711? A pid alone does not say: it is given away again after a death or a reboot. A process is its pid
 * together with the instant at which it was born, and that pair is what locks and pid files remember.
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque: equal for the same process, different for any other that ever has its pid. */
  readonly born: string;
}

/** The identity of a process that runs now, or null if there is none (a zombie has ended, too). */
export function identify(pid: number): ProcessIdentity | null {
  const born = birthOf(pid);
  return born === null ? null : { pid, born };
}

export function isAlive(process: ProcessIdentity): boolean {
  return birthOf(process.pid) === process.born;
}

/**
 * Processes can only be looked up in the same pid namespace (a container has its own) and since the same boot; both are
 * named here, so that a pid from elsewhere is never mistaken for one of ours. Empty where the system has no such names:
 * there a birth is a date, which a reboot does not repeat.
 */
export const HERE: { readonly boot: string; readonly pidNamespace: string } = {
  boot: readOr('', () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
  pidNamespace: readOr('', () => readlinkSync('/proc/self/ns/pid')),
};

/** Reads `4711 <birth>`, as redis-keeper.sh writes it. */
export function parseIdentity(line: string): ProcessIdentity | null {
  const [, pid, born] = /^(\d{1,10}) (.*)$/.exec(line) ?? [];
  return pid === undefined || born === undefined ? null : { pid: Number(pid), born: born.trim() };
}

function birthOf(pid: number): string | null {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, as somebody else.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return null;
  }
  if (HERE.pidNamespace !== '') {
    const stat = readOr('', () => readFileSync(`/proc/${pid}/stat`, 'utf8'));
    if (stat === '') return null;
    const { state, born } = statOf(stat);
    return state === 'Z' || state === 'X' ? null : born;
  }
  // Where even `ps` is missing the birth is '' and the pid alone must do.
  return readOr('', () => {
    // The date is printed in the caller's zone and language; both fixed, or two callers would read two births.
    const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC0' };
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { env, encoding: 'utf8' }).trim();
  });
}

/** `4711 (a (strange) name) S 1 ...`: the name may hold anything, so fields are counted from the last parenthesis. */
function statOf(stat: string): { state: string; born: string } {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // proc(5): state is field 3, starttime (in ticks since boot) is field 22; the name was field 2.
  return { state: fields[0] ?? '', born: fields[19] ?? '' };
}

function readOr<T>(otherwise: T, read: () => T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
