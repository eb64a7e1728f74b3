/** `warmline webhooks`: who is told what happens. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { type ApiOptions, ApiRefusal, type Client, createClient, withApi } from './client.ts';
import { addExamples } from './examples.ts';
import { asTable, coloured, plain, say, sayJson, shorten, time } from './table.ts';

type Webhook = {
  id: string;
  url: string;
  events: string[];
  description: string | null;
  enabled: boolean;
  disabledBecause: string | null;
  failingSince: string | null;
};
type Delivery = {
  eventId: string;
  type: string;
  at: string;
  attempt: number;
  outcome: 'delivered' | 'failed' | 'given_up';
  status: number | null;
  ms: number;
  error: string | null;
};

const EXAMPLES = `
Examples:
  $ warmline webhooks add https://example.com/warmline                     all events
  $ warmline webhooks add https://example.com/warmline --event ip.status_changed --event ip.quota_used
  $ warmline webhooks test hook_1x2y3z                                     sends one, and waits for what is answered
  $ warmline webhooks list
  $ warmline webhooks log hook_1x2y3z
  $ SECRET=$(warmline webhooks rotate hook_1x2y3z)                         the old one is good for another day
  $ warmline webhooks disable hook_1x2y3z
  $ warmline webhooks enable hook_1x2y3z
  $ warmline webhooks delete hook_1x2y3z

Events: ip.status_changed, ip.quota_used (80, 90 and 100 % of a day), ip.hold_changed, pool.hold_changed.
A secret is printed once, on stdout. How to check a signature: docs/webhooks.md.`;

/** A worker looks every two seconds, and a receiver has ten to answer. */
const TESTED_WITHIN_MS = 15_000;

export function register(command: Command): void {
  addExamples(command, EXAMPLES);

  withApi(command.command('add').description('make a webhook and print its secret, this once'))
    .argument('<url>', 'where events are sent')
    .option('--event <event>', 'only this event; may be given several times', collect)
    .option('--description <text>', 'what people call it')
    .action(async (url: string, options: ApiOptions & { event?: string[]; description?: string }) => {
      const body = { url, events: options.event, description: options.description };
      const made = await createClient(options).post<Webhook & { secret: string }>('/v1/webhooks', body);
      if (options.json) return sayJson(made);
      // On stdout alone, so that a script can take it from there.
      process.stderr.write(
        `webhook ${made.id} is told ${made.events.join(', ')}; keep its secret now, it is not shown again:\n`,
      );
      say(made.secret);
    });

  withApi(command.command('list').description('all webhooks of the account')).action(
    async (options: ApiOptions) => {
      const webhooks = await createClient(options).all<Webhook>('/v1/webhooks');
      if (options.json) return sayJson({ data: webhooks });
      if (webhooks.length === 0) return say('no webhooks; make one with: warmline webhooks add <url>');
      say(
        asTable<Webhook>(
          [
            { head: 'url', cell: ({ url }) => shorten(plain(url), 60) },
            { head: 'events', cell: ({ events }) => events.join(', ') },
            { head: 'state', cell: stateOf },
            { head: 'description', cell: ({ description }) => shorten(plain(description ?? '')) },
            { head: 'id', cell: ({ id }) => coloured('dim', id) },
          ],
          webhooks,
        ),
      );
    },
  );

  const named = (name: string, description: string) =>
    withApi(command.command(name).description(description)).argument(
      '<id>',
      'the id of the webhook, from: warmline webhooks list',
    );

  named('test', 'send a test event and say what was answered').action(
    async (id: string, options: ApiOptions) => {
      const client = createClient(options);
      const { eventId } = await client.post<{ eventId: string }>(`${pathOf(id)}/test`);
      const delivery = await outcomeOf(client, id, eventId);
      if (options.json) sayJson(delivery);
      else if (delivery.outcome === 'delivered')
        say(`delivered: it answered ${delivery.status} after ${delivery.ms} ms`);
      if (delivery.outcome !== 'delivered') {
        throw new ApiRefusal(`the test event did not arrive: ${delivery.error}; it will be tried again`);
      }
    },
  );

  named('log', 'the last hundred attempts, newest first').action(async (id: string, options: ApiOptions) => {
    const deliveries = await createClient(options).all<Delivery>(`${pathOf(id)}/deliveries`);
    if (options.json) return sayJson({ data: deliveries });
    if (deliveries.length === 0) return say('nothing was sent yet');
    say(
      asTable<Delivery>(
        [
          { head: 'tried', cell: ({ at }) => time(at) },
          { head: 'event', cell: ({ type }) => type },
          { head: 'attempt', right: true, cell: ({ attempt }) => String(attempt) },
          { head: 'outcome', cell: ({ outcome }) => shownOutcome(outcome) },
          { head: 'status', right: true, cell: ({ status }) => String(status ?? '') },
          { head: 'ms', right: true, cell: ({ ms }) => String(ms) },
          { head: 'why', cell: ({ error }) => plain(error ?? '') },
          { head: 'event id', cell: ({ eventId }) => coloured('dim', eventId) },
        ],
        deliveries,
      ),
    );
  });

  named('rotate', 'a new secret, printed this once; the old one signs beside it for a day').action(
    async (id: string, options: ApiOptions) => {
      const made = await createClient(options).post<Webhook & { secret: string }>(
        `${pathOf(id)}/rotate-secret`,
      );
      if (options.json) return sayJson(made);
      say(made.secret);
    },
  );

  for (const [name, enabled] of [
    ['enable', true],
    ['disable', false],
  ] as const) {
    named(name, enabled ? 'switch it on again' : 'switch it off').action(
      async (id: string, options: ApiOptions) => {
        const webhook = await createClient(options).patch<Webhook>(pathOf(id), { enabled });
        if (options.json) sayJson(webhook);
        else say(`webhook ${id} is switched ${enabled ? 'on' : 'off'}`);
      },
    );
  }

  named('delete', 'end a webhook').action(async (id: string, options: ApiOptions) => {
    await createClient(options).remove(pathOf(id));
    if (options.json) sayJson({ id, deleted: true });
    else say(`webhook ${id} is deleted`);
  });
}

const pathOf = (id: string) => `/v1/webhooks/${encodeURIComponent(id)}`;
const collect = (event: string, before: string[] = []) => [...before, event];

function stateOf({ enabled, disabledBecause, failingSince }: Webhook): string {
  if (!enabled) return coloured('red', `off: ${disabledBecause ?? 'switched off'}`);
  return failingSince === null
    ? coloured('green', 'on')
    : coloured('yellow', `failing since ${time(failingSince)}`);
}

const shownOutcome = (outcome: Delivery['outcome']) =>
  coloured(outcome === 'delivered' ? 'green' : 'red', outcome.replace('_', ' '));

/** @throws ApiRefusal when no worker sends it */
async function outcomeOf(client: Client, id: string, eventId: string): Promise<Delivery> {
  for (const untilMs = performance.now() + TESTED_WITHIN_MS; performance.now() < untilMs; await sleep(250)) {
    const { data } = await client.get<{ data: Delivery[] }>(`${pathOf(id)}/deliveries?limit=20`);
    const found = data.find((delivery) => delivery.eventId === eventId);
    if (found) return found;
  }
  throw new ApiRefusal(
    `nothing was sent within ${TESTED_WITHIN_MS / 1000} s; is a worker running? (warmline serve, or warmline worker)`,
  );
}
