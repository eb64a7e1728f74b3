/**
 * A mail sender of the demo: a process of its own, as an MTA would be. It asks Warmline for every message through the
 * Nodemailer plugin, sends over real SMTP, and tells what became of each message.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import nodemailer from 'nodemailer';
import { createSender, type RefundRequest, type Sender } from '../../sender/index.ts';
import { QuotaExhausted, warmlineTransport } from '../../sender/nodemailer.ts';
import { type FromSender, type Offer, type Outcome, SENDS_HEADER, type ToSender } from './protocol.ts';

const [redisUrl, pool, smtpPort] = process.argv.slice(2) as [string, string, string];
/** Messages under way at once in each process; more would only wait for the one sink. */
const IN_FLIGHT = 8;

const tell = (message: FromSender) => process.send!(message);

/** The message for which the plugin asks: what is granted and given back is booked on it. */
const current = new AsyncLocalStorage<Outcome>();
/** Of the hour that runs; emptied when all its messages are done. */
const ipOfReceipt = new Map<string, string>();
const sender = await createSender({ redisUrl, testClock: true });
const booked: Sender = {
  ...sender,
  async take(request) {
    const answer = await sender.take(request);
    const { granted } = current.getStore()!;
    for (const { ip, count } of answer.granted) granted[ip] = (granted[ip] ?? 0) + count;
    for (const { ip, receipt } of answer.granted) ipOfReceipt.set(receipt, ip);
    return answer;
  },
  async refund(refunds) {
    const { refunded } = current.getStore()!;
    let total = 0;
    for (const one of [refunds].flat() as RefundRequest[]) {
      const answer = await sender.refund(one);
      const ip = ipOfReceipt.get(one.receipt)!;
      refunded[ip] = (refunded[ip] ?? 0) + answer.refunded;
      total += answer.refunded;
    }
    return { refunded: total };
  },
};

const mailer = nodemailer.createTransport(
  warmlineTransport({
    sender: booked,
    pool,
    smtp: { host: '127.0.0.1', port: Number(smtpPort), pool: true, maxConnections: 4, ignoreTLS: true },
    // The clock stands still while messages are under way: waiting would be for ever.
    maxWaitMs: 0,
    weight: ({ data }) => Number((data.headers as Record<string, string>)[SENDS_HEADER]),
  }),
);

async function sendOne(offer: Offer): Promise<Outcome> {
  const outcome: Outcome = {
    offer: offer.id,
    granted: {},
    refunded: {},
    accepted: [],
    bounced: [],
    again: [],
    held: false,
  };
  await current.run(outcome, async () => {
    try {
      const info = await mailer.sendMail({
        from: 'news@warmline.example',
        to: offer.recipients,
        subject: `Message ${offer.id}`,
        text: 'A message of the demo.\n',
        headers: { [SENDS_HEADER]: String(offer.sendsEach) },
      });
      outcome.accepted = info.accepted.map(String);
      const errors = new Map(
        (info.rejectedErrors ?? []).map((error) => [error.recipient, error.responseCode ?? 0]),
      );
      for (const recipient of info.rejected.map(String)) {
        (errors.get(recipient)! >= 500 ? outcome.bounced : outcome.again).push(recipient);
      }
    } catch (error) {
      outcome.held = error instanceof QuotaExhausted;
      outcome.again = offer.recipients;
    }
  });
  return outcome;
}

async function sendAll(offers: Offer[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const waiting = [...offers];
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      for (let offer = waiting.pop(); offer; offer = waiting.pop()) outcomes.push(await sendOne(offer));
    }),
  );
  ipOfReceipt.clear();
  return outcomes;
}

process.on('message', (message: ToSender) => {
  if (message.kind === 'close') {
    mailer.close();
    void sender.close().then(() => process.disconnect());
    return;
  }
  sendAll(message.offers).then(
    (outcomes) => tell({ kind: 'done', outcomes }),
    (error: unknown) =>
      tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) }),
  );
});
// The conductor is gone: nobody wants these messages any more.
process.on('disconnect', () => process.exit(0));
tell({ kind: 'ready' });
