/** `/schedules`: the published tables side by side, and the dry run as a form. Nothing here starts anything. */
import { limitsOf } from '../../../schedules/schedule.ts';
import { type Engine, nowIn } from '../../fleet/engine.ts';
import { type Calendar, checkDayStartsAt, checkZone, parseStart } from '../../warmup/calendar.ts';
import { invalid, WarmlineError } from '../../warmup/errors.ts';
import { buildPlan, DEFAULT_PLAN, type Plan } from '../../warmup/plan.ts';
import { type Projection, projectPlan } from '../../warmup/projection.ts';
import { type Html, html, type Piece } from '../html.ts';
import { type Column, chart } from './charts.ts';
import { numberIn, plansOf } from './ip-buttons.ts';
import { select, textField } from './layout.ts';
import type { Pages } from './register.ts';
import { counted, grouped, orUnlimited, shortText, time } from './words.ts';

const FIELDS = ['plan', 'start', 'zone', 'dayStartsAt', 'volume', 'ips'] as const;
type Asked = Record<(typeof FIELDS)[number], string>;

const COLOURS: Column['colour'][] = ['plan', 'sent', 'third', 'fourth'];

export function registerSchedules({ app, context: { engine }, sessionOf, show }: Pages): void {
  app.get('/schedules', async (request, reply) => {
    const { tenant } = sessionOf(request);
    const given = request.query as Record<string, unknown>;
    const asked = Object.fromEntries(
      FIELDS.map((name) => [
        name,
        typeof given[name] === 'string' ? (given[name] as string).trim().slice(0, 200) : '',
      ]),
    ) as Asked;
    let run: ReturnType<typeof dryRun> | null = null;
    let problem: string | null = null;
    try {
      run = dryRun(engine, asked, await nowIn(tenant));
    } catch (error) {
      if (!(error instanceof WarmlineError)) throw error;
      problem = error.message;
      reply.code(422);
    }
    return show(request, reply, {
      title: 'Schedules',
      at: '/schedules',
      scripts: ['chart.js'],
      body: html`<h1>Schedules</h1>
<section aria-labelledby="curves"><h2 id="curves">Side by side</h2>${curves(engine)}</section>
<section aria-labelledby="dry-run"><h2 id="dry-run">Dry run</h2>
<p>What a plan will let one IP send, day by day, before anyone starts it. Nothing is started here.</p>
<form class="filters" method="get" action="/schedules#dry-run">
${select('plan', 'Plan', plansOf(engine.book.keys()), asked.plan || DEFAULT_PLAN)}
${textField('start', 'Start', { value: asked.start, placeholder: '2026-12-01T10:00', hint: 'Empty: now.' })}
${textField('zone', 'Time zone', { value: asked.zone || 'UTC' })}
${textField('dayStartsAt', 'Days turn at', { value: asked.dayStartsAt, placeholder: '04:00', hint: 'Empty: at the time of the start.' })}
${textField('volume', 'Messages a day', { value: asked.volume, type: 'number', hint: 'To see how much of them fits.' })}
${textField('ips', 'New IPs', { value: asked.ips, type: 'number', placeholder: '1' })}
<p class="buttons"><button class="main">Run it dry</button></p>
</form>
${problem && html`<p class="note bad" role="alert">${problem}</p>`}
${run && result(run)}</section>`,
    });
  });
}

/** Hourly caps as what a day of 24 hours makes of them, so that both kinds stand on one scale. */
function curves({ book }: Engine): Html {
  const schedules = [...book.values()].slice(0, COLOURS.length);
  const days = Math.max(...schedules.map((one) => limitsOf(one).length));
  const aDay = schedules.map((one) =>
    limitsOf(one).map(({ limit }) => (limit === null ? null : 'daily' in one ? limit : limit * 24)),
  );
  const over =
    book.size > schedules.length ? ` The first ${schedules.length} of ${book.size} are drawn.` : '';
  return html`${chart({
    title: 'Most sends a day, by schedule',
    first: 'Day',
    isLog: true,
    columns: schedules.map((one, index) => ({
      name: 'daily' in one ? `${one.id} (a day)` : `${one.id} (24 hours of its cap)`,
      kind: 'line',
      colour: COLOURS[index]!,
    })),
    rows: Array.from({ length: days }, (_, index) => ({
      label: String(index + 1),
      values: aDay.map((limits) => limits[index] ?? null),
      texts: aDay.map((limits) => (index < limits.length ? orUnlimited(limits[index]!) : 'over')),
    })),
    about: `The scale is logarithmic. A plan joins schedules with +, and the tightest binds.${over}`,
  })}
<ul>${[...book.values()].map(({ id, title, source }) => html`<li><code>${id}</code>: ${title}. <span class="faint">${source}</span></li>`)}</ul>`;
}

function dryRun({ book }: Engine, asked: Asked, nowMs: number) {
  const plan = buildPlan(asked.plan || DEFAULT_PLAN, book);
  const zone = checkZone(asked.zone || 'UTC');
  const calendar: Calendar = {
    startedAtMs: asked.start === '' ? Math.floor(nowMs / 60_000) * 60_000 : parseStart(asked.start, zone),
    zone,
    dayStartsAt: checkDayStartsAt(asked.dayStartsAt || 'start'),
  };
  if (!(calendar.startedAtMs >= 0))
    throw invalid(
      'start',
      `"${asked.start}" lies before 1970; give a later start (example: 2026-12-01T10:00)`,
    );
  const volume = within('volume', asked.volume, 1_000_000_000_000);
  const ips = within('ips', asked.ips, 10_000) ?? 1;
  return { plan, calendar, volume, ips, projection: projectPlan({ plan, calendar, volume, ips }) };
}

function within(name: string, given: string, most: number): number | undefined {
  const value = numberIn(name, given);
  if (value === null) return undefined;
  if (value < 1 || value > most)
    throw invalid(name, `${name} is ${value}; give a whole number from 1 to ${most}`);
  return value;
}

type Run = {
  plan: Plan;
  calendar: Calendar;
  volume: number | undefined;
  ips: number;
  projection: Projection;
};

function result({ plan, calendar, volume, ips, projection }: Run): Html {
  const { days, completesAtMs, fitsFromDay } = projection;
  const columns: (Column & { of: (day: Projection['days'][number]) => number | null })[] = [
    { name: 'Daily limit', kind: 'line', colour: 'plan', of: (day) => day.dailyLimit },
    {
      name: '24 hours of the cap',
      kind: 'line',
      colour: 'third',
      of: (day) => (day.hourlyCap === null ? null : day.hourlyCap * 24),
    },
    { name: 'Can send', kind: 'bars', colour: 'sent', of: (day) => day.sendable },
    ...(volume === undefined
      ? []
      : [
          {
            name: `Overflow of ${grouped(volume)}`,
            kind: 'line' as const,
            colour: 'fourth' as const,
            of: (day: Projection['days'][number]) => day.overflow,
          },
        ]),
  ];
  const last = days.at(-1)!;
  const firstHour = days.findIndex(({ binds }) => binds === 'hour');
  const words: Piece[] = [
    html`Plan <code>${plan.name}</code>: ${counted(days.length, 'day')} in the zone ${calendar.zone}, complete on ${time(completesAtMs)}. The IP is then active, without limits.`,
    firstHour >= 0 &&
      days.some(({ dailyLimit }) => dailyLimit !== null) &&
      `From day ${days[firstHour]!.warmupDay} on the hourly cap binds, so the daily table is not reached.`,
    last.cumulative !== null && `In all days one IP can send ${grouped(last.cumulative)}.`,
    volume !== undefined &&
      (fitsFromDay === null
        ? `On day ${last.warmupDay}, the last of the plan, ${counted(ips, 'IP')} carry ${grouped(last.carried!)} of ${grouped(volume)}; the rest goes elsewhere until the warm-up is complete.`
        : `From day ${fitsFromDay} on ${counted(ips, 'IP')} carry all of the ${grouped(volume)} messages a day.`),
  ];
  return html`<ul>${words.filter(Boolean).map((one) => html`<li>${one}</li>`)}</ul>
${chart({
  title: 'Dry run, by day',
  first: 'Day',
  isLog: true,
  columns: columns.map(({ name, kind, colour }) => ({ name, kind, colour })),
  rows: days.map((day) => ({
    label: `${day.warmupDay} (${shortText(day.beginsAtMs)})`,
    values: columns.map(({ of }) => of(day)),
    texts: columns.map(({ of }) => orUnlimited(of(day))),
  })),
})}`;
}
