/**
 * `REDIS_URL` as a list: one Redis, or nodes of a cluster between commas, as users of ioredis write them. What a later node
 * does not say, scheme or credentials, is as the first says it: `redis://:secret@h1:7000,h2:7001,redis://h3:7002`.
 */

/** @returns one URL for each node, each complete; none for a text without any */
export function nodeUrls(text: string): string[] {
  const items = text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
  const first = partsOf(items[0] ?? '');
  return items.map((item) => {
    const { scheme, credentials, rest } = partsOf(item);
    return `${scheme || first.scheme}${credentials || first.credentials}${rest}`;
  });
}

function partsOf(item: string) {
  const [, scheme = '', credentials = '', rest = ''] = /^([a-z][a-z0-9+.-]*:\/\/)?([^/]*@)?(.*)$/is.exec(
    item,
  )!;
  return { scheme, credentials, rest };
}

/** Where a list goes on with a URL of its own. */
const NEXT_URL = /,(?=\s*rediss?:\/\/)/i;
const SCHEME = /^\s*[a-z][a-z0-9+.-]*:\/\//i;

/**
 * URLs that may be shown: without passwords, also those with a bare `/`, `,` or `@` in them, which no URL may have and people
 * write. So all goes that stands before the last `@` of a URL, at times with a node that needs no hiding.
 */
export const hideSecrets = (text: string) =>
  text
    .split(NEXT_URL)
    .map((url) => {
      const [scheme] = SCHEME.exec(url) ?? [''];
      const end = url.lastIndexOf('@');
      return end < scheme.length ? url : `${scheme}…${url.slice(end)}`;
    })
    .join(',');
