import { expect, test } from 'vitest';
import { startApi, useApi } from './support.ts';

// A list of thousands, read page by page while others are added and some leave: every IP that was there all the time comes
// once, in the order of creation.

const api = useApi({ clock: 'real' });

type Row = { id: string; createdAt: string };
type Page = { data: Row[]; hasMore: boolean; nextCursor: string | null };

async function readAll(query: string, between: (page: number) => Promise<unknown> = async () => {}) {
  const rows: Row[] = [];
  let cursor: string | null = '';
  for (let pages = 1; cursor !== null; pages += 1) {
    const { status, body } = await api.ask(
      'GET',
      `/v1/dedicated-ips?${query}${cursor && `&cursor=${cursor}`}`,
    );
    expect(status).toBe(200);
    const page = body as Page;
    expect(page.hasMore).toBe(page.nextCursor !== null);
    rows.push(...page.data);
    cursor = page.nextCursor;
    await between(pages);
  }
  return rows.map(({ id }) => id);
}

const COUNT = 3_000;

test('three thousand IPs, none missing and none doubled, while others come and go', async () => {
  const there = await api.bringMany(COUNT, 'active');
  const gone = new Set<string>();
  const seen = await readAll('limit=100', async (page) => {
    await api.bringMany(20, 'provisioning');
    const leaves = there[page * 80];
    if (!leaves) return;
    gone.add(leaves.id);
    expect((await api.ask('DELETE', `/v1/dedicated-ips/${leaves.id}`)).status).toBe(204);
  });
  expect(new Set(seen).size).toBe(seen.length);
  const missing = there.filter(({ id }) => !seen.includes(id) && !gone.has(id));
  expect(missing).toEqual([]);
});

test('with a filter that matches little: short pages, and all of it', async () => {
  const there = await api.bringMany(30, 'active');
  for (const { id } of there.slice(0, 3)) {
    expect((await api.ask('PATCH', `/v1/dedicated-ips/${id}`, { labels: { team: 'rare' } })).status).toBe(
      200,
    );
  }
  const seen = await readAll('limit=100&label=team:rare', () => api.bringMany(10, 'provisioning'));
  expect(seen.toSorted()).toEqual(
    there
      .slice(0, 3)
      .map(({ id }) => id)
      .toSorted(),
  );
});

test('where all were created in one instant, as a range is', async () => {
  const frozen = await startApi();
  try {
    const there = await frozen.bringMany(350, 'active');
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await frozen.ask('GET', `/v1/dedicated-ips?limit=100${cursor && `&cursor=${cursor}`}`);
      seen.push(...(body as Page).data.map(({ id }) => id));
      cursor = (body as Page).nextCursor;
      // At the same instant still, so that they stand among the others.
      await frozen.bringMany(15, 'active');
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(there.filter(({ id }) => !seen.includes(id))).toEqual([]);

    // Also within a page that a filter makes look at many.
    const more = frozen.bringMany(500, 'provisioning');
    const found: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await frozen.ask(
        'GET',
        `/v1/dedicated-ips?limit=20&status=active${cursor && `&cursor=${cursor}`}`,
      );
      found.push(...(body as Page).data.map(({ id }) => id));
      cursor = (body as Page).nextCursor;
    }
    await more;
    expect(new Set(found).size).toBe(found.length);
    expect(there.filter(({ id }) => !found.includes(id))).toEqual([]);
  } finally {
    await frozen.stop();
  }
});

test('pools, where all were created in one instant', async () => {
  const frozen = await startApi();
  try {
    const names = Array.from({ length: 25 }, (_, n) => `pool ${n}`);
    for (const name of names) await frozen.ask('POST', '/v1/dedicated-ips/pools', { name });
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await frozen.ask(
        'GET',
        `/v1/dedicated-ips/pools?limit=4${cursor && `&cursor=${cursor}`}`,
      );
      seen.push(...(body.data as { name: string }[]).map(({ name }) => name));
      cursor = body.nextCursor;
    }
    expect(seen).toEqual(names);
  } finally {
    await frozen.stop();
  }
});
