/** The frame of every page: head, the way around, who is signed in. Nothing in it comes from elsewhere. */
import { type Html, html, type Piece } from '../html.ts';
import { type AssetName, assetPath } from './assets.ts';
import type { Session } from './sessions.ts';

export type Page = {
  title: string;
  /** Which entry of the navigation this page belongs to. */
  at?: string;
  session: Session | null;
  body: Piece;
  scripts?: readonly AssetName[];
  /** What was just done, as a code; see `DONE`. */
  did?: string | undefined;
};

const ROOMS = [
  ['/', 'Fleet'],
  ['/pools', 'Pools'],
  ['/schedules', 'Schedules'],
  ['/held', 'Held'],
  ['/changes', 'Changes'],
] as const;

/** What a press of a button led to. A code in the address, so that nobody can put words of theirs on this page. */
const DONE: Readonly<Record<string, string>> = {
  created: 'The IP is yours. It sends nothing until its warm-up is started.',
  started: 'The warm-up has begun: mail may go out from now on, within the limits of the day.',
  ended: 'The warm-up is over: the IP is active.',
  held: 'Held. What was leased before may still be sent for at most one second.',
  resumed: 'Resumed.',
  stopped:
    'Every IP of the account is held. What was leased before may still be sent for at most one second.',
  lifted: 'The stop is lifted. What is held for itself or with its pool stays held.',
  released: 'Released: it sends nothing any more and rests now.',
  restored: 'Restored, with the warm-up day that it had.',
  ceiling: 'The ceiling is set.',
  pooled: 'The IP is in the pool.',
  left: 'The IP has left the pool.',
  pool: 'The pool is made.',
  renamed: 'The pool has its new name.',
  default: 'The default pool is another one now.',
  deleted: 'The pool is gone; its IPs stay on the account.',
};

export function renderPage({ title, at, session, body, scripts = [], did }: Page): string {
  const hasChart = scripts.includes('chart.js');
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} · Warmline</title>
<link rel="icon" href="data:,">
${hasChart && html`<link rel="stylesheet" href="${assetPath('uplot.css')}">`}
<link rel="stylesheet" href="${assetPath('dashboard.css')}">
${hasChart && html`<script src="${assetPath('uplot.js')}" defer></script>`}
${scripts.map((name) => html`<script src="${assetPath(name)}" defer></script>`)}
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="top"><div class="inner">
<a class="brand" href="/">Warmline</a>
${session && navigation(at, session)}
</div></header>
<main id="main" tabindex="-1">
${did !== undefined && Object.hasOwn(DONE, did) && html`<p class="note done" role="status">${DONE[did]}</p>`}
${body}
</main>
<footer><div class="inner">Times are UTC. For programs: <a href="/docs">the API</a>.</div></footer>
</body>
</html>
`.text;
}

const navigation = (at: string | undefined, session: Session) => html`<nav aria-label="Pages"><ul>
${ROOMS.map(
  ([href, name]) =>
    html`<li><a href="${href}"${href === at && html` aria-current="page"`}>${name}</a></li>
`,
)}</ul></nav>
<div class="who"><span>${session.caller.account.name}${!session.may('write') && ' (looks only)'}</span>
<form method="post" action="/sign-out">${token(session)}<button class="quiet">Sign out</button></form></div>`;

/** Stands in every form: whoever posts without it did not press a button here. */
export const token = ({ csrf }: Session): Html => html`<input type="hidden" name="csrf" value="${csrf}">`;

/** A page that asks before it does: what will happen, and the button. Works without a script. */
export function confirmation({
  session,
  action,
  title,
  happens,
  fields,
  button,
  isRed = false,
  back,
}: {
  session: Session;
  action: string;
  title: string;
  happens: readonly Piece[];
  fields?: Piece;
  button: string;
  isRed?: boolean;
  back: string;
}): Html {
  return html`<h1>${title}</h1>
<form class="card ask" method="post" action="${action}">${token(session)}
<h2>What will happen</h2>
<ul>${happens.map((one) => html`<li>${one}</li>`)}</ul>
${fields}
<p class="buttons">${session.may('write') ? html`<button class="${isRed ? 'red' : 'main'}">${button}</button>` : 'This key may look and not press.'} <a class="button" href="${back}">Leave it as it is</a></p>
</form>`;
}

export const field = (name: string, label: Piece, input: Piece, hint?: Piece) =>
  html`<p class="field"><label for="f-${name}">${label}</label>${input}${hint && html`<small id="h-${name}">${hint}</small>`}</p>`;

export const textField = (
  name: string,
  label: string,
  {
    value = '',
    hint,
    placeholder,
    type = 'text',
    isRequired = false,
  }: {
    value?: string;
    hint?: Piece;
    placeholder?: string;
    type?: 'text' | 'number' | 'search';
    isRequired?: boolean;
  } = {},
) =>
  field(
    name,
    label,
    html`<input id="f-${name}" name="${name}" type="${type}" value="${value}"${type === 'number' && html` min="1" step="1" inputmode="numeric"`}${placeholder && html` placeholder="${placeholder}"`}${isRequired && html` required`}${hint && html` aria-describedby="h-${name}"`}>`,
    hint,
  );

export const select = (
  name: string,
  label: Piece,
  options: readonly (readonly [value: string, text: string])[],
  chosen = '',
) =>
  field(
    name,
    label,
    html`<select id="f-${name}" name="${name}">${options.map(
      ([value, text]) =>
        html`<option value="${value}"${value === chosen && html` selected`}>${text}</option>`,
    )}</select>`,
  );
