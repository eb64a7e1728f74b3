/** What an answer names, its caller may name in later requests: so the run finds its way into what it has made. */
import type { Request } from './requests.ts';
import type { Stage } from './stage.ts';

/** So many of a kind are remembered: the newest. */
const MOST_REMEMBERED = 48;
/** Of a long answer its beginning is enough. */
const MOST_READ = 20_000;

const SEEN = [
  ['ip', /"(ip_[0-9a-z]+)"/g],
  ['pool', /"(pool_[0-9a-z]+)"/g],
  ['webhook', /"id":"((?:wh|webhook|hook)_[0-9a-zA-Z]+)"/g],
  ['receipt', /"receipt":"([^"]+)"/g],
  ['cursor', /"(?:nextCursor|after_key|before_key)":"([^"]+)"/g],
  ['address', /"(?:ip|ipAddress|address)":"([0-9a-f.:]{4,})"/g],
  ['poolName', /"(?:pool_name|name)":"([^"\\]{1,64})"/g],
  ['poolNumber', /"id":"(\d+)"/g],
] as const;

export function remember(stage: Stage, { caller, url, method }: Request, body: string): void {
  const things = stage.things[caller === 'operator' ? 'operator' : 'owner'];
  const isAboutKeys = /^\/v1\/(keys|accounts)/.test(url);
  if (isAboutKeys && method === 'POST') {
    // Only those that were made here: without its own the run could not go on.
    for (const [, id] of body.matchAll(/"id":"(key_[0-9a-z]+)"/g)) push(things.key, id!);
  }
  if (isAboutKeys || /^\/(openapi|v1\/inventory)/.test(url)) return;
  for (const [kind, pattern] of SEEN) {
    for (const [, name] of body.slice(0, MOST_READ).matchAll(pattern)) push(things[kind], name!);
  }
}

function push(list: string[], name: string): void {
  if (list.includes(name)) return;
  list.push(name);
  if (list.length > MOST_REMEMBERED) list.shift();
}
