/** Receipts, `<ipId>.<dayFromMs>.<hourFromMs>.<count>.<seq>`: all that a refund needs to know. */
import { invalid } from '../warmup/errors.ts';

export type Receipt = { ipId: string; dayFromMs: number; hourFromMs: number; count: number; seq: number };

/** @throws WarmlineError `invalid` */
export function parseReceipt(receipt: string): Receipt {
  const match = /^(ip_[0-9a-z]+)\.(\d{1,16})\.(\d{1,16})\.(\d{1,7})\.(\d{1,16})$/.exec(receipt);
  if (!match) {
    const shown = receipt.slice(0, 100);
    throw invalid('receipt', `"${shown}" is no receipt; give back the string that a take granted`);
  }
  const [dayFromMs, hourFromMs, count, seq] = match.slice(2).map(Number) as [number, number, number, number];
  return { ipId: match[1]!, dayFromMs, hourFromMs, count, seq };
}
