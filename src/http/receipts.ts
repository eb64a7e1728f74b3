/**
 * A receipt that goes out is signed, and only what comes back with its signature is credited, since a key that may send
 * must not be able to invent refunds.
 *
 * The signature is SHA-256 over a key of the account and the receipt, cut to 132 of its 256 bits. Of a hash in this form one
 * has to fear that who sees it goes on hashing where it ended, and so signs a longer text. That needs the whole state, of
 * which 124 bits are never shown; the key has always the same length; and what is appended begins with bytes that no receipt
 * has. An HMAC would be two hashes, and a receipt is signed with every grant.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto';

/** 132 bits: a forger with a million tries a second would need longer than the universe has been there. */
const SIGNATURE_LENGTH = 22;
/** One key for each account that asks; forgetting it costs an HMAC. */
const MOST_KEYS = 1_000;

export type Receipts = {
  sign(receipt: string): string;
  /** The receipt without its signature; `null` when it was not given to this account. */
  verify(signed: string): string | null;
};

/** Bound to the account, so that one cannot hand in what another was granted. */
export function createReceipts(secret: string): (accountId: string) => Receipts {
  const known = new Map<string, Receipts>();
  return (accountId) => {
    let receipts = known.get(accountId);
    if (!receipts) {
      if (known.size >= MOST_KEYS) known.clear();
      receipts = receiptsOf(secret, accountId);
      known.set(accountId, receipts);
    }
    return receipts;
  };
}

function receiptsOf(secret: string, accountId: string): Receipts {
  const key = createHmac('sha256', secret).update(`receipts of ${accountId}`).digest('base64url');
  const sign = (receipt: string) =>
    `${receipt}.${hash('sha256', key + receipt, 'base64url').slice(0, SIGNATURE_LENGTH)}`;
  return {
    sign,
    verify(signed) {
      const receipt = signed.slice(0, Math.max(0, signed.lastIndexOf('.')));
      if (same(sign(receipt), signed)) return receipt;
      return same(signedAsBefore(secret, accountId, receipt), signed) ? receipt : null;
    },
  };
}

/** By the HMAC of earlier builds, of which receipts may be out there when this one takes over. */
function signedAsBefore(secret: string, accountId: string, receipt: string): string {
  const signature = createHmac('sha256', secret).update(`${accountId}\n${receipt}`).digest();
  return `${receipt}.${signature.subarray(0, 16).toString('base64url')}`;
}

/** Compares in a time that tells nothing about how much of a forged receipt was right. */
function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
