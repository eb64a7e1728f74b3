/** Leases as the sender hands them out: a batch of sends taken ahead, spent without a round trip. */
import type { Sender } from '../src/sender/index.ts';

export type Lease = {
  /** Names the IP to send from, or `null` when there is nothing to spend at this moment. */
  tryTake(sends?: number): { ip: string } | null;
  take(sends?: number): Promise<{ ip: string } | null>;
  close(): Promise<void>;
  readonly stats: { readonly roundTrips: number; readonly granted: number };
};

export type LeaseRequest = { ip?: string; pool?: string; size?: number; clock?: 'call' | 'turn' };

/** @throws in a version without leases */
export function leaseOf(sender: Sender, request: LeaseRequest): Lease {
  const { lease } = sender as Sender & { lease?: (request: LeaseRequest) => Lease };
  if (!lease) throw new Error('this version has no leases');
  return lease.call(sender, request);
}
