/**
 * `REDIS_URL` as a list: one Redis, or nodes of a cluster between commas, as ioredis users write them. A later node may be
 * bare (`redis://:secret@h1:7000,h2:7001`): it has the scheme and the credentials of the first.
 */

/** @returns one URL for each node, each complete; none for a text without any */
export function nodeUrls(text: string): string[] {
  const [first, ...others] = text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
  if (first === undefined) return [];
  const before = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/]*@)?/i.exec(first)?.[0] ?? '';
  return [first, ...others.map((other) => (other.includes('://') ? other : `${before}${other}`))];
}

/** URLs that may be shown: without passwords. */
export const hideSecrets = (text: string) => text.replace(/[^/,@]*@/g, '…@');
