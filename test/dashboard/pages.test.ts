import { once } from 'node:events';
import { get } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { startWarmup } from '../../src/fleet/ips.ts';
import { ADMIN_KEY, type Api, ok, startApi, useNewApi } from '../http/support.ts';
import { signedIn } from './support.ts';

/** What the pages say about an IP, a pool, a plan and a denial, and what their buttons do. */

const api = useNewApi();
const take = async (body: object) => ok(await api.ask('POST', '/v1/quota/take', body));
/** A page without its tags, as it is read. */
const words = (body: string) =>
  body
    .replace(/<[^>]+>/g, ' ')
    .replaceAll('&#39;', "'")
    .replaceAll('&quot;', '"')
    .replace(/\s+/g, ' ');

test('the buttons of an IP are those that its status allows, and each says what will happen', async () => {
  const ip = await api.bring();
  const someone = await signedIn(api, ADMIN_KEY);
  const buttons = async () => {
    const { body } = await someone.get(`/ips/${ip.id}`);
    return [...body.matchAll(new RegExp(`href="/ips/${ip.id}/([a-z-]+)"`, 'g'))].map(([, name]) => name);
  };
  const press = async (name: string, fields = {}) => {
    const asked = await someone.get(`/ips/${ip.id}/${name}`);
    expect([name, asked.status, words(asked.body).includes('What will happen')]).toEqual([name, 200, true]);
    expect((await someone.press(`/ips/${ip.id}/${name}`, fields)).status).toBe(303);
  };
  expect(await buttons()).toEqual(['start', 'hold', 'ceiling', 'release']);
  await press('start', { plan: 'fourteen-day', zone: 'Europe/Berlin', dayStartsAt: '04:00', startDay: '3' });
  expect(await buttons()).toEqual(['hold', 'end-warmup', 'ceiling', 'release']);
  await press('hold', { stops: 'sending', because: 'a blocklist' });
  expect(await buttons()).toEqual(['hold', 'resume', 'end-warmup', 'ceiling', 'release']);
  await press('resume');
  await press('ceiling', { perDay: '1,000', perHour: '' });
  await press('end-warmup');
  expect(await buttons()).toEqual(['start', 'hold', 'ceiling', 'release']);
  await press('release');
  expect(await buttons()).toEqual(['restore']);
  await press('restore');
  const { body } = await api.ask('GET', `/v1/dedicated-ips/${ip.id}`);
  expect(body).toMatchObject({ status: 'active', ceiling: { perDay: 1_000, perHour: null } });
  expect(body.warmup).toMatchObject({
    plan: 'fourteen-day',
    zone: 'Europe/Berlin',
    dayStartsAt: '04:00',
    startDay: 3,
  });

  const again = await someone.get(`/ips/${ip.id}/restore`);
  expect([again.status, words(again.body).includes('is active, so this cannot be done')]).toEqual([
    409,
    true,
  ]);
  const wrong = await someone.press(`/ips/${ip.id}/start`, { zone: 'Mars' });
  expect(wrong.status).toBe(422);
  expect(words(wrong.body)).toContain('"Mars" is not an IANA time zone (example: Europe/Berlin)');
});

test('a warming IP that hardly sends is said not to be warmed; one that does is not', async () => {
  const [idle, busy] = [
    await api.warming({ plan: 'fourteen-day' }),
    await api.warming({ plan: 'fourteen-day' }),
  ];
  await take({ ip: idle.id, count: 4 });
  await take({ ip: busy.id, count: 40 });
  const someone = await signedIn(api, ADMIN_KEY);
  expect((await someone.get('/')).body).not.toContain('is not being warmed');
  await api.advance({ days: 1 });
  const told = 'used 8 % of day 1 (4 of 50): an IP that hardly sends is not being warmed';
  expect((await someone.get(`/ips/${idle.id}`)).body).toContain(told);
  expect((await someone.get(`/ips/${busy.id}`)).body).not.toContain('is not being warmed');
  expect((await someone.get('/')).body.split(told)).toHaveLength(2);
});

test('the chart of an IP has the plan and what was sent, by day and by hour', async () => {
  const ip = await api.warming();
  await take({ ip: ip.id, count: 20 });
  await api.advance({ days: 1, hours: 2 });
  await take({ ip: ip.id, count: 7 });
  const someone = await signedIn(api, ADMIN_KEY);
  const { body } = await someone.get(`/ips/${ip.id}`);
  const rows = [...body.matchAll(/<tr><th scope="row">([^<]+)<\/th>(.*?)<\/tr>/gs)].map(
    ([, label, cells]) => `${label}:${words(cells!)}`,
  );
  expect(rows.slice(0, 3)).toEqual([
    'Day 1 (10 Jan): 50 50 20 ',
    'Day 2 (11 Jan): 100 100 7 ',
    'Day 3 (12 Jan): 250 250 to come ',
  ]);
  expect(rows[13]).toBe('Day 14 (23 Jan): unlimited 38,088 to come ');
  expect(rows.filter((row) => / Jan \d\d:00: /.test(row)).at(-1)).toBe('11 Jan 12:00: 28 7 ');
  expect(rows.filter((row) => / Jan \d\d:00: /.test(row))).toHaveLength(27);
  expect(rows.find((row) => row.startsWith('10 Jan 10:00:'))).toBe('10 Jan 10:00: 20 20 ');
});

test('days that stood still are shown with the limits that they had', async () => {
  const ip = await api.warming({ plan: 'fourteen-day' });
  await api.advance({ days: 1 });
  await api.ask('POST', `/v1/dedicated-ips/${ip.id}/hold`, { because: 'a pause' });
  await api.advance({ days: 2 });
  await api.ask('DELETE', `/v1/dedicated-ips/${ip.id}/hold`);
  await api.advance({ days: 1 });
  const someone = await signedIn(api, ADMIN_KEY);
  const { body } = await someone.get(`/ips/${ip.id}`);
  const days = [...body.matchAll(/<tr><th scope="row">(Day [^<]+)</g)].map(([, label]) => label);
  expect(days.slice(0, 5)).toEqual([
    'Day 1 (10 Jan)',
    'Day 2 (11 Jan)',
    'Day 2 (12 Jan)',
    'Day 2 (13 Jan)',
    'Day 3 (14 Jan)',
  ]);
  expect(days.at(-1)).toBe('Day 14 (25 Jan)');
});

test('a pool says who is in it, what went beyond the warming IPs, and on which day all of it fits', async () => {
  const someone = await signedIn(api, ADMIN_KEY);
  const { to } = await someone.press('/pools/new', { name: 'Newsletters', isDefault: 'yes' });
  const url = to.split('?')[0]!;
  expect(words((await someone.get(url)).body)).toContain('Denied now : it has no IP');
  const warming = await api.warming({ plan: 'fourteen-day' });
  const active = await api.bring({ status: 'active' });
  for (const { address } of [warming, active])
    expect((await someone.press(`${url}/add`, { ip: address })).status).toBe(303);
  await take({ pool: 'Newsletters', count: 120 });
  const page = words((await someone.get(url)).body);
  expect(page).toContain('today by warming IPs 50');
  expect(page).toContain('today by the others (overflow) 70');
  expect(page).toContain('full volume on 24 Jan 2026, 10:00 UTC , if nothing holds them');
  expect(page).toContain('wanted, this hour and the last 120');

  await someone.press(`${url}/hold`, { because: 'a bad campaign' });
  expect(words((await someone.get(url)).body)).toContain('Held by key:environment');
  expect((await take({ pool: 'Newsletters' })).because.code).toBe('hold');
  expect(words((await someone.get(url)).body)).toContain('not yet known: the progress of 1 IP stands still');
  await someone.press(`${url}/resume`);
  await someone.press(`${url}/rename`, { name: 'News' });
  await someone.press(`${url}/remove`, { ip: active.id });
  const { body } = await api.ask('GET', `/v1/dedicated-ips${url}`);
  expect(body).toMatchObject({ name: 'News', isDefault: true, ipCount: 1, hold: null });
  await someone.press(`${url}/delete`);
  expect((await someone.get(url)).status).toBe(404);
});

test('what was denied is said with its reason, and explained as it stands', async () => {
  const ip = await api.warming();
  await take({ ip: ip.address, count: 20 });
  await take({ ip: ip.address, count: 5 });
  await take({ ip: ip.address, count: 1, partial: true });
  const someone = await signedIn(api, ADMIN_KEY);
  const wanted = 'wanted, this hour and the last 26 of it granted 20 of it held 6 (23 %)';
  expect(words((await someone.get(`/ips/${ip.id}`)).body)).toContain(wanted);
  expect(words((await someone.get('/held')).body)).toContain(`${ip.address} the hourly cap is used up 2 6`);
  const asked = words((await someone.get(`/held?of=${ip.address}&count=5`)).body);
  expect(asked).toContain(`Denied: ${ip.address} used its 20 sends of this hour`);
  expect(words((await someone.get('/held?of=nothing')).body)).toContain('there is no pool "nothing"');
  expect(words((await someone.get('/held?of=&count=0')).body)).toContain('count is 0');
});

test('the dry run says what the command says, and a mistake in one sentence', async () => {
  const someone = await signedIn(api, ADMIN_KEY);
  const page = words(
    (await someone.get('/schedules?start=2026-12-01T10:00&zone=Europe/Berlin&volume=20000&ips=2')).body,
  );
  expect(page).toContain('complete on 15 Dec 2026, 09:00 UTC');
  expect(page).toContain('In all days one IP can send 125,504.');
  expect(page).toContain('From day 11 on 2 IPs carry all of the 20,000 messages a day.');
  const wrong = await someone.get('/schedules?zone=Mars');
  expect([wrong.status, words(wrong.body).includes('"Mars" is not an IANA time zone')]).toEqual([422, true]);
  for (const query of ['start=yesterday', 'volume=0', 'ips=10001', 'plan=none', 'dayStartsAt=25:00']) {
    expect([query, (await someone.get(`/schedules?${query}`)).status]).toEqual([query, 422]);
  }
});

test('the changes of an account are told newest first, page by page', async () => {
  const ip = await api.bring();
  for (let round = 0; round < 60; round += 1) {
    await startWarmup(api.tenant, ip.id, {});
    await api.ask('POST', `/v1/dedicated-ips/${ip.id}/hold`, { because: `reason ${round}` });
    await api.ask('DELETE', `/v1/dedicated-ips/${ip.id}/hold`);
  }
  const someone = await signedIn(api, ADMIN_KEY);
  const first = await someone.get('/changes');
  expect(first.body.indexOf('reason 59')).toBeLessThan(first.body.indexOf('reason 58'));
  expect(first.body).not.toContain('reason 3<');
  const older = /href="(\/changes\?before=[^"]+)"/.exec(first.body)![1]!;
  expect((await someone.get(older)).body).toContain('reason 3<');
});

const portOf = async ({ app }: Api) => {
  if (!app.server.listening) await app.listen({ host: '127.0.0.1', port: 0 });
  return (app.server.address() as AddressInfo).port;
};

test('the live stream tells of a change within two seconds, and of nothing else', async () => {
  const ip = await api.warming();
  const { cookie } = await signedIn(api, ADMIN_KEY);
  const port = await portOf(api);
  const request = get({ port, path: `/live?ips=${ip.id},nonsense`, headers: { cookie } });
  const [response] = await once(request, 'response');
  expect(response.headers['content-type']).toBe('text/event-stream');
  expect(response.headers['content-security-policy']).toBeDefined();
  let heard = '';
  response.on('error', () => {});
  response.setEncoding('utf8').on('data', (text: string) => (heard += text));
  const hears = async (text: string) => {
    for (let waited = 0; waited < 2_000 && !heard.includes(text); waited += 20) await sleep(20);
    expect(heard).toContain(text);
  };
  await hears('0 of 50');
  await sleep(1_200);
  // Nothing has moved, so nothing more is told.
  expect(heard.match(/event: ip/g)).toHaveLength(1);
  await take({ ip: ip.id, count: 7 });
  await hears('7 of 50');
  request.destroy();
});

test('who leaves before the live stream begins keeps nobody from it', async () => {
  const ip = await api.warming();
  const { cookie } = await signedIn(api, ADMIN_KEY);
  const port = await portOf(api);
  const path = `/live?ips=${ip.id}`;
  for (let more = 60; more > 0; more -= 1) {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\n\r\n`);
    await new Promise((resolve) => setImmediate(resolve));
    socket.resetAndDestroy();
  }
  await sleep(500);
  const request = get({ port, path, headers: { cookie } });
  const [response] = await once(request, 'response');
  expect(response.statusCode).toBe(200);
  request.destroy();
});

test('a server that closes ends its live streams, and waits for none', async () => {
  const own = await startApi();
  try {
    const ip = await own.warming();
    const { cookie } = await signedIn(own, ADMIN_KEY);
    const { port } = new URL(await own.app.listen({ host: '127.0.0.1', port: 0 }));
    const request = get({ port, path: `/live?ips=${ip.id}`, headers: { cookie } });
    const [response] = await once(request, 'response');
    response.resume();
    const from = performance.now();
    await Promise.all([own.app.close(), once(response, 'end')]);
    expect(performance.now() - from).toBeLessThan(2_000);
  } finally {
    await own.stop();
  }
});

test('what is no address is quoted by its beginning, however long it is', async () => {
  const someone = await signedIn(api, ADMIN_KEY);
  const { id } = ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'marketing' }), 201);
  const { status, body } = await someone.press(`/pools/${id}/add`, { ip: '0'.repeat(50_000) });
  expect(status).toBe(422);
  expect(words(body)).toContain(`"${'0'.repeat(59)}…" is not an IP address (examples: 203.0.113.7`);
  expect(body.length).toBeLessThan(5_000);
});
