/** What can be done with one IP. Each button leads to a page that says what will happen, and is pressed there. */
import type { FastifyRequest } from 'fastify';
import type { Tenant } from '../../fleet/engine.ts';
import {
  endWarmup,
  getIp,
  holdIp,
  releaseIp,
  restoreIp,
  resumeIp,
  setCeiling,
  startWarmup,
} from '../../fleet/ips.ts';
import type { DedicatedIp } from '../../warmup/dedicated-ip.ts';
import { conflict, invalid } from '../../warmup/errors.ts';
import { buildPlan, DEFAULT_PLAN } from '../../warmup/plan.ts';
import { type Html, html, type Piece } from '../html.ts';
import { ipNamed } from '../v1/named.ts';
import { holdFields, holdOfForm } from './hold-form.ts';
import { confirmation, select, textField } from './layout.ts';
import type { Pages } from './register.ts';
import { type IpView, viewOf } from './view.ts';
import { grouped, lengthText, orUnlimited, time } from './words.ts';

type Button = {
  label: string;
  did: string;
  isRed?: boolean;
  /** Does its status allow it? The engine decides when it is pressed; this decides what is shown. */
  fits(view: IpView): boolean;
  /** What will happen. */
  happens(view: IpView, context: Pages['context']): Piece[];
  fields?(view: IpView, context: Pages['context']): Piece;
  press(tenant: Tenant, ip: DedicatedIp, fields: Record<string, string>): Promise<unknown>;
};

const sends = ({ ip }: IpView) => ip.status === 'warming' || ip.status === 'active';
const isHere = ({ ip }: IpView) => ip.status !== 'cooldown' && ip.status !== 'released';
const ownHold = ({ ip }: IpView) => ip.holds.some(({ scope }) => scope === 'ip');

const BUTTONS: Readonly<Record<string, Button>> = {
  start: {
    label: 'Start the warm-up',
    did: 'started',
    fits: ({ ip }) => ip.status === 'provisioning' || ip.status === 'active',
    happens({ ip, nowMs }, { engine }) {
      const plan = buildPlan(DEFAULT_PLAN, engine.book);
      const { dailyLimit, hourlyCap } = plan.days[0]!;
      return [
        ip.status === 'active'
          ? 'It is active and without limits now: from this moment the limits of day 1 hold for it.'
          : 'Mail may go out from this moment on.',
        html`With the plan <code>${plan.name}</code>, day 1 allows ${orUnlimited(dailyLimit)} sends, at most ${orUnlimited(hourlyCap)} an hour; a day later it is day 2.`,
        html`After ${plan.days.length} days, on ${time(nowMs + plan.days.length * 86_400_000)} or thereabouts, it is active and without limits.`,
        'What is chosen here stays for the whole warm-up.',
      ];
    },
    fields: (_view, { engine }) => html`
${select('plan', 'Plan', plansOf(engine.book.keys()), DEFAULT_PLAN)}
${textField('zone', 'Time zone', { value: 'UTC', hint: 'Whose clock turns the days (example: Europe/Berlin).' })}
${textField('dayStartsAt', 'Days turn at', { value: '', placeholder: '04:00', hint: 'A time of day; empty: at the time of the start.' })}
${textField('startDay', 'Begin with day', { value: '1', type: 'number', hint: 'More than 1 for an IP that comes half warm.' })}`,
    press: (tenant, ip, { plan, zone, dayStartsAt, startDay }) =>
      startWarmup(tenant, ip.id, {
        plan: plan || undefined,
        zone: zone || undefined,
        dayStartsAt: dayStartsAt || undefined,
        startDay: numberIn('startDay', startDay) ?? undefined,
      }),
  },
  hold: {
    label: 'Hold',
    did: 'held',
    isRed: true,
    fits: isHere,
    happens: () => [
      'Mail stops at once, for every sender; what was leased before may be sent for one second more.',
      'Progress stops too, unless you say otherwise: the warm-up day stays, and goes on from there after you resume it.',
      'Nothing is lost: what was sent today stays counted.',
    ],
    fields: () => holdFields(),
    press: (tenant, ip, fields) => holdIp(tenant, ip.id, holdOfForm(fields)),
  },
  resume: {
    label: 'Resume',
    did: 'resumed',
    fits: ownHold,
    happens: ({ wire }) => {
      const others = wire.holds.filter(({ scope }) => scope !== 'ip');
      return [
        'Mail may go out again at once, within the limits of the day.',
        'The warm-up goes on at the day that it had when it was held.',
        ...(others.length > 0
          ? [
              'It stays held all the same by another hold, which this does not lift (of its pool, or because it was disabled).',
            ]
          : []),
      ];
    },
    press: (tenant, ip) => resumeIp(tenant, ip.id),
  },
  'end-warmup': {
    label: 'End the warm-up',
    did: 'ended',
    fits: ({ ip }) => ip.status === 'warming',
    happens: ({ wire }) => [
      html`It is active at once, on day ${wire.warmup.currentDay} of ${wire.warmup.totalDays}: all limits of its plan fall, and only a ceiling is left.`,
      'Mailbox providers may distrust it if it sends much more tomorrow than today.',
      'Starting again later begins with day 1, unless you choose another day.',
    ],
    press: (tenant, ip) => endWarmup(tenant, ip.id),
  },
  ceiling: {
    label: 'Set a ceiling',
    did: 'ceiling',
    fits: isHere,
    happens: () => [
      'A limit of your own, beside the plan, from this moment on and in every status; the tighter of the two binds.',
      'What was sent before counts. An empty field is no ceiling.',
    ],
    fields: ({ ip }) => html`
${textField('perDay', 'Most sends a day', { value: String(ip.ceiling.perDay ?? ''), type: 'number' })}
${textField('perHour', 'Most sends an hour', { value: String(ip.ceiling.perHour ?? ''), type: 'number' })}`,
    press: (tenant, ip, { perDay, perHour }) =>
      setCeiling(tenant, ip.id, {
        perDay: numberIn('perDay', perDay),
        perHour: numberIn('perHour', perHour),
      }),
  },
  release: {
    label: 'Release',
    did: 'released',
    isRed: true,
    fits: isHere,
    happens: ({ ip, wire }, { engine }) => [
      'It leaves its pools and sends nothing more, at once.',
      `It rests for ${lengthText(engine.cooldownMs)}; until then it can be restored with the day that it had.`,
      ip.leased
        ? 'Then the address goes back to the inventory, for anybody.'
        : 'Then it is gone from this account.',
      ...(wire.sendingVolume > 0
        ? [`It has sent ${grouped(wire.sendingVolume)} so far: what it has of a reputation goes with it.`]
        : []),
    ],
    press: (tenant, ip) => releaseIp(tenant, ip.id),
  },
  restore: {
    label: 'Restore',
    did: 'restored',
    fits: ({ ip }) => ip.status === 'cooldown',
    happens: ({ ip }) => [
      `It is ${ip.cooldown?.from ?? 'what it was'} again, with the warm-up day that it had; the cooldown does not count.`,
      'It is in no pool: put it into one if its mail comes by a pool.',
    ],
    press: (tenant, ip) => restoreIp(tenant, ip.id),
  },
};

export function buttonsOf(view: IpView): Html | null {
  const shown = Object.entries(BUTTONS).filter(([, { fits }]) => fits(view));
  if (shown.length === 0) return null;
  return html`<p class="buttons" role="group" aria-label="What can be done">
${shown.map(
  ([name, { label, isRed }]) =>
    html`<a class="button${isRed && name === 'hold' && ' red'}${name === 'start' && !sends(view) && ' main'}" href="/ips/${view.ip.id}/${name}">${label}</a>
`,
)}</p>`;
}

export function registerIpButtons({ app, context, sessionOf, show, fieldsOf }: Pages): void {
  const load = async (request: FastifyRequest) => {
    const { tenant } = sessionOf(request);
    const { id } = request.params as { id: string };
    return { tenant, ip: await getIp(tenant, ipNamed(id)) };
  };

  for (const [name, button] of Object.entries(BUTTONS)) {
    app.get(`/ips/:id/${name}`, async (request, reply) => {
      const { tenant, ip } = await load(request);
      const view = await viewOf(context, tenant, ip);
      if (!button.fits(view))
        throw conflict(`${ip.address} is ${ip.status}, so this cannot be done with it now`);
      return show(request, reply, {
        title: `${button.label}: ${ip.address}`,
        at: '/',
        body: confirmation({
          session: sessionOf(request),
          action: `/ips/${ip.id}/${name}`,
          title: `${button.label}: ${ip.address}`,
          happens: button.happens(view, context),
          fields: button.fields?.(view, context),
          button: button.label,
          isRed: button.isRed ?? false,
          back: `/ips/${ip.id}`,
        }),
      });
    });

    app.post(`/ips/:id/${name}`, async (request, reply) => {
      const fields = fieldsOf(request);
      const { tenant, ip } = await load(request);
      await button.press(tenant, ip, fields);
      return reply.redirect(`/ips/${ip.id}?did=${button.did}`, 303);
    });
  }
}

/** The default first, then each schedule alone. */
export function plansOf(ids: Iterable<string>): [string, string][] {
  return [DEFAULT_PLAN, ...[...ids].sort()].map((id) => [id, id]);
}

/** @throws WarmlineError `invalid` */
export function numberIn(name: string, given: string | undefined): number | null {
  const text = (given ?? '').trim().replaceAll(',', '');
  if (text === '') return null;
  if (!/^\d{1,13}$/.test(text))
    throw invalid(name, `${name} is "${text.slice(0, 40)}"; it must be a whole number`);
  return Number(text);
}
