/** The fields of the red button, for an IP and for a pool. */
import type { HoldRequest } from '../../fleet/ips.ts';
import { type Html, html } from '../html.ts';
import { select, textField } from './layout.ts';

const LONGEST_REASON = 500;

export const holdFields = (): Html => html`
${textField('because', 'Why', { placeholder: 'complaints from one campaign', hint: 'It goes into the log, for whoever wonders later.' })}
${select('stops', 'What stops', [
  ['both', 'mail and progress'],
  ['sending', 'mail only: the days go on'],
  ['advance', 'progress only: mail goes on at today’s limits'],
])}`;

export const holdOfForm = ({ because = '', stops = 'both' }: Record<string, string>): HoldRequest => ({
  sending: stops !== 'advance',
  advance: stops !== 'sending',
  because: because.trim().slice(0, LONGEST_REASON) || 'no reason was given',
  untilMs: null,
});
