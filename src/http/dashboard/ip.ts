/** `/ips/:id`: one IP: may it send, what was planned and what was sent, who changed what, and what can be done. */
import { demandOf } from '../../fleet/demand.ts';
import { getIp, historyOf } from '../../fleet/ips.ts';
import { allPools } from '../../fleet/pools.ts';
import { calendarDayAt } from '../../warmup/calendar.ts';
import { ACCOUNT_SCOPE, calendarOf } from '../../warmup/dedicated-ip.ts';
import { HOUR_MS } from '../../warmup/units.ts';
import { type Html, html, type Piece } from '../html.ts';
import { ipNamed } from '../v1/named.ts';
import { changesTable } from './changes.ts';
import { chart } from './charts.ts';
import { dayOf } from './day.ts';
import { demandFigures } from './demand-figures.ts';
import { buttonsOf } from './ip-buttons.ts';
import { causeOf, neglectText } from './neglect.ts';
import type { Pages } from './register.ts';
import { cellsOf, type IpView, nextChange, viewOf } from './view.ts';
import {
  grouped,
  instantText,
  lengthText,
  limitText,
  orUnlimited,
  paramsOf,
  shortText,
  time,
} from './words.ts';

/** More days than these do not fit into a chart. */
const MOST_DAYS = 60;
const HOURS_SHOWN = 48;

export function registerIp({ app, context, sessionOf, show }: Pages): void {
  app.get<{ Params: { id: string } }>('/ips/:id', async (request, reply) => {
    const session = sessionOf(request);
    const { tenant } = session;
    const ip = await getIp(tenant, ipNamed(request.params.id));
    await context.tellDemand(tenant.account);
    const [view, history, pools, [wanted]] = await Promise.all([
      viewOf(context, tenant, ip),
      historyOf(tenant, ip.id),
      allPools(tenant),
      demandOf(tenant, [ip.id]),
    ]);
    const names = new Map(pools.map(({ id, name }) => [id, name]));
    const cells = cellsOf(view);
    const { neglect } = view;
    return show(request, reply, {
      title: ip.address,
      at: '/',
      scripts: ['live.js', 'chart.js'],
      body: html`<p class="crumbs"><a href="/">Fleet</a></p>
<div data-ip="${ip.id}">
<div class="head"><h1>${ip.address}</h1><p data-cell="status">${cells.status}</p></div>
<p class="standing"><span data-cell="standing">${cells.standing}</span> <a href="/held?${paramsOf({ of: ip.address, count: '1' })}#explain">Explain</a></p>
${neglect && html`<p class="note warn">It ${neglectText(neglect)}. ${causeOf(neglect) === 'held' ? html`<a href="/held">See what holds it</a>.` : 'Give it mail, or hold its progress so that the limits wait for it.'}</p>`}
<p class="live" data-live hidden role="status"></p>
<dl class="figures wide-figures">
<div><dt>today</dt><dd data-cell="day">${cells.day}</dd></div>
<div><dt>this hour</dt><dd data-cell="hour">${cells.hour}</dd></div>
<div><dt>next change</dt><dd data-cell="next">${cells.next}</dd></div>
${demandFigures(wanted!)}
</dl>
</div>
${session.may('write') ? buttonsOf(view) : html`<p class="faint">This key may look; buttons are for keys with the scope write.</p>`}
${holdsOf(view, names)}
<section aria-labelledby="sent"><h2 id="sent">Planned and sent</h2>
${byDay(view)}
${byHour(view)}</section>
<section aria-labelledby="facts"><h2 id="facts">About it</h2>${factsOf(view, names)}</section>
<section aria-labelledby="history"><h2 id="history">Its last changes</h2>
${changesTable(
  history.map((change) => ({ ...change, id: change.at })),
  names,
  { withIp: false },
)}</section>`,
    });
  });
}

function holdsOf({ wire }: IpView, names: ReadonlyMap<string, string>): Piece {
  if (wire.holds.length === 0) return null;
  return html`<section aria-labelledby="holds"><h2 id="holds">Held</h2><ul>
${wire.holds.map(
  ({ sending, advance, because, by, since, until, scope }) =>
    html`<li>${
      sending && advance ? 'No mail and no progress' : sending ? 'No mail' : 'No progress'
    }: ${because}. By ${by}${scope.startsWith('pool_') && html`, for the whole pool <a href="/pools/${scope}">${names.get(scope) ?? scope}</a>`}${scope === ACCOUNT_SCOPE && html`, for the whole account: <a href="/stop/lift">lift it</a> for all`}, since ${time(since)}${until ? html`, until ${time(until)}` : ', until somebody resumes it'}.</li>`,
)}</ul></section>`;
}

function byDay(view: IpView): Html {
  const { ip, nowMs, wire } = view;
  const calendar = calendarOf(ip);
  const today = Math.max(1, calendarDayAt(calendar, nowMs));
  const total = wire.warmup.totalDays ?? 0;
  const left = wire.warmup.currentDay === null ? 0 : Math.max(0, total - wire.warmup.currentDay);
  const last = ip.status === 'warming' ? today + left : today;
  // From its start on, as far as that fits.
  const from = ip.warmup ? Math.max(1, last - MOST_DAYS + 1) : Math.max(1, today - 13);
  const rows = Array.from({ length: last - from + 1 }, (_, index) => {
    const day = dayOf(view, from + index);
    const isPast = from + index <= today;
    const name = day.warmupDay === null ? shortText(day.fromMs) : `Day ${day.warmupDay}`;
    return {
      label:
        ip.warmup && day.warmupDay !== null
          ? `${name} (${shortText(day.fromMs).slice(0, -6)})`
          : shortText(day.fromMs).slice(0, -6),
      values: [day.dailyLimit, day.sendable, isPast ? day.sent : null],
      texts: [orUnlimited(day.dailyLimit), orUnlimited(day.sendable), isPast ? grouped(day.sent) : 'to come'],
    };
  });
  return chart({
    title: 'By day',
    first: 'Day',
    isLog: true,
    columns: [
      { name: 'Daily limit', kind: 'line', colour: 'plan' },
      { name: 'Can be sent (the hourly cap too)', kind: 'line', colour: 'third' },
      { name: 'Sent', kind: 'bars', colour: 'sent' },
    ],
    rows,
    about: 'The scale is logarithmic. What is to come is what the plan says, if nothing holds it.',
  });
}

function byHour(view: IpView): Html {
  const { ip, nowMs, counted } = view;
  const calendar = calendarOf(ip);
  const today = Math.max(1, calendarDayAt(calendar, nowMs));
  const state = counted.counter?.state;
  const sentIn = new Map(counted.sent.hours.map(({ fromMs, sends }) => [fromMs, sends]));
  if (state && state.hourUsed > 0) sentIn.set(state.hourFromMs, state.hourUsed);
  const hours = [today - 2, today - 1, today]
    .filter((day) => day >= 1)
    .flatMap((number) => {
      const day = dayOf(view, number);
      const count = Math.ceil((Math.min(day.toMs, nowMs + 1) - day.fromMs) / HOUR_MS);
      return Array.from({ length: Math.max(0, count) }, (_, index) => ({
        fromMs: day.fromMs + index * HOUR_MS,
        day,
      }));
    })
    .slice(-HOURS_SHOWN);
  return chart({
    title: 'By hour, the last two days',
    first: 'Hour',
    columns: [
      { name: 'Hourly cap', kind: 'line', colour: 'plan' },
      { name: 'Sent', kind: 'bars', colour: 'sent' },
    ],
    rows: hours.map(({ fromMs, day }) => {
      const sent = sentIn.get(fromMs) ?? 0;
      return {
        label: shortText(fromMs),
        values: [day.hourlyCap, sent],
        texts: [orUnlimited(day.hourlyCap), grouped(sent)],
      };
    }),
  });
}

function factsOf(view: IpView, names: ReadonlyMap<string, string>): Html {
  const { ip, wire, quota, nowMs } = view;
  const { warmup } = wire;
  const next = nextChange(view);
  const facts: [string, Piece][] = [
    ['Id', html`<code>${ip.id}</code>`],
    [
      'Pools',
      ip.pools.length === 0
        ? 'none'
        : ip.pools.map((id, index) => [
            index > 0 && ', ',
            html`<a href="/pools/${id}">${names.get(id) ?? id}</a>`,
          ]),
    ],
    ...(warmup.plan
      ? ([
          [
            'Plan',
            html`<code>${warmup.plan}</code>, ${warmup.totalDays} days in the zone ${warmup.zone}${warmup.dayStartsAt !== 'start' && `, days turn at ${warmup.dayStartsAt}`}`,
          ],
          ['Started', warmup.startedAt && time(warmup.startedAt)],
          [
            'Complete',
            warmup.completedAt
              ? time(warmup.completedAt)
              : warmup.completesAt
                ? html`${time(warmup.completesAt)}, if nothing holds it`
                : 'not while its progress stands still',
          ],
        ] as [string, Piece][])
      : []),
    [
      'Bucket',
      quota.bucket
        ? `${grouped(quota.bucket.level)} of ${grouped(quota.bucket.size)} can go at once`
        : 'none: nothing spreads its mail over the hour',
    ],
    ['Ceiling', ceilingText(ip.ceiling)],
    [
      'Next change',
      next
        ? html`${next.what}, at ${time(next.atMs)} (in ${lengthText(next.atMs - nowMs)})`
        : 'none by itself',
    ],
    ['Sent in all days that are kept', grouped(wire.sendingVolume)],
    ['Host name', ip.hostname ?? 'none'],
    ['Binds', ip.bind ?? 'the address itself'],
    ['Region', ip.region ?? 'none'],
    [
      'Labels',
      Object.entries(ip.labels)
        .map(([key, value]) => `${key}:${value}`)
        .join(', ') || 'none',
    ],
    [
      'On the account since',
      html`${instantText(ip.createdAtMs)} UTC, ${ip.leased ? 'from the inventory' : 'brought by the account'}`,
    ],
  ];
  return html`<dl class="facts">${facts.map(
    ([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>
`,
  )}</dl>`;
}

const ceilingText = ({ perDay, perHour }: { perDay: number | null; perHour: number | null }) =>
  perDay === null && perHour === null
    ? 'none'
    : [perDay !== null && `${limitText(perDay)} a day`, perHour !== null && `${limitText(perHour)} an hour`]
        .filter(Boolean)
        .join(', ');
