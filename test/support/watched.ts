import type { Engine } from '../../src/fleet/engine.ts';

/**
 * The same engine, each of whose commands of Redis goes through the hands of a test. What its scripts call does not.
 * @param onCommand gives what the command answers, which it has asked for with `answer`, or puts something before or behind it
 */
export function engineWatched(
  engine: Engine,
  onCommand: (name: string, answer: () => Promise<unknown>, args: readonly unknown[]) => unknown,
): Engine {
  const redis = new Proxy(engine.scripts.redis, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => onCommand(String(name), () => value.apply(target, args), args);
    },
  });
  return { ...engine, scripts: { ...engine.scripts, redis } };
}
