/** What the conductor of the demo and its sender processes say to each other, over Node's IPC. */

/** One message to send: its recipients, and how many sends each of them stands for. */
export type Offer = { id: number; recipients: string[]; sendsEach: number };

export type ToSender = { kind: 'send'; offers: Offer[] } | { kind: 'close' };

/** What became of the sends of one take. */
export type Outcome = {
  offer: number;
  /** Sends granted by address of the IP. */
  granted: Record<string, number>;
  /** Of these, given back: no receiver was reached, or the grant could not be used. */
  refunded: Record<string, number>;
  /** Recipients whose mail a receiver took. */
  accepted: string[];
  /** Recipients whom a receiver refused for good: they are bounced, not tried again. */
  bounced: string[];
  /** Recipients to be tried again: deferred, cut off, or held because the quota is out. */
  again: string[];
  /** The message was held: no IP had room. */
  held: boolean;
};

export type FromSender =
  | { kind: 'ready' }
  | { kind: 'done'; outcomes: Outcome[] }
  | { kind: 'failed'; message: string };

/** Name of the header that says how many sends a message stands for; the sink adds them up. */
export const SENDS_HEADER = 'X-Demo-Sends';
