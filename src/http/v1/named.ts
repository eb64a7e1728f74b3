/** IPs as paths name them: by id, or by address in any spelling. */
import { canonicalAddress } from '../../warmup/address.ts';
import { notFound } from '../../warmup/errors.ts';

/** @throws WarmlineError `not_found`: what is neither an id nor an address is the name of nothing here */
export function ipNamed(named: string): string {
  if (/^ip_[0-9a-z]{1,64}$/.test(named)) return named;
  try {
    return canonicalAddress(named);
  } catch {
    throw notFound(
      `there is no IP "${named.slice(0, 60)}" in this account; name it by its id or its address`,
      'ip',
    );
  }
}
