/** The Python of this machine, for the client that is written in it. */
import { execFileSync } from 'node:child_process';

/** The first on the PATH that is 3.9 or newer; `null` where there is none. */
export const PYTHON = findPython();

function findPython(): string | null {
  const found = ['python3', 'python'].find((name) => {
    try {
      execFileSync(name, ['-c', 'import sys; sys.exit(sys.version_info < (3, 9))'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  });
  return found ?? null;
}
