/** What a process really holds: its heap after a collection. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** @returns bytes; it stops the process for as long as a collection takes, about 1 ms for each MB that is held */
export function heapAfterCollection(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // What finalizers hold is freed by the second.
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}
