/**
 * `/docs`: the description of the API as one page for people. Made on the server from the document at `/openapi.json`; no
 * script, nothing from elsewhere, readable on a phone and in the dark.
 */
import { createHash } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { Html, html, type Piece } from './html.ts';
import { type ApiDocument, describeApi, type ListedRoute, type Operation } from './openapi.ts';

const PAGE = {
  summary: 'The description of the API as a page for people',
  id: 'readDocs',
  answers: { 200: z.string() },
  contentType: 'text/html',
};

export function registerDocs(app: FastifyInstance, routes: readonly ListedRoute[]): void {
  let page: string | undefined;
  app.get('/docs', { config: { scope: 'nobody', quiet: true, docs: PAGE } }, async (_request, reply) => {
    page ??= renderDocs(describeApi(routes));
    return reply
      .headers({
        'content-security-policy': `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin',
      })
      .type('text/html; charset=utf-8')
      .send(page);
  });
}

/** What stands between backquotes in a sentence is code. */
const prose = (sentence: unknown): Piece =>
  typeof sentence === 'string'
    ? sentence.split('`').map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : part))
    : '';

// ---- the page

export function renderDocs(document: ApiDocument): string {
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
  const groups = document.tags.map((tag) => ({
    ...tag,
    id: `group-${slug(tag.name)}`,
    operations: operations.filter(({ operation }) => operation.tags[0] === tag.name),
  }));
  const { title, version, description } = document.info;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} API ${version}</title>
<style>${new Html(STYLE)}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the routes</a>
<header>
<h1>${title} API <small>${version}</small></h1>
<p>${prose(description)}</p>
<p>Every request needs a key: <code>Authorization: Bearer &lt;key&gt;</code>. For programs, the same as
<a href="/openapi.json">OpenAPI 3.1</a>.</p>
</header>
<nav aria-label="Routes">
${groups.map(
  (group) => html`<details><summary>${group.name}</summary><ul>
${group.operations.map(
  ({ method, path, operation }) =>
    html`<li><a href="#${operation.operationId}">${verb(method)} ${path}</a></li>
`,
)}</ul></details>
`,
)}<p><a href="#schemas">Schemas</a></p>
</nav>
<main id="main">
${groups.map(
  (group) => html`<section id="${group.id}" aria-labelledby="${group.id}-title">
<h2 id="${group.id}-title">${group.name}</h2>
<p>${prose(group.description)}</p>
${group.operations.map((one) => operationOf(document, one))}</section>
`,
)}<section id="schemas"><h2>Schemas</h2>
${Object.entries(document.components.schemas).map(
  ([name, schema]) => html`<article id="schema-${name}"><h3>${name}</h3>
${schemaOf(schema)}</article>
`,
)}</section>
</main>
</body>
</html>
`.text;
}

const slug = (name: string) => name.toLowerCase().replace(/\W+/g, '-');
const verb = (method: string) => html`<b class="verb ${method.toLowerCase()}">${method}</b>`;

type Json = { [key: string]: unknown };
type Listed = { method: string; path: string; operation: Operation };

function operationOf(document: ApiDocument, { method, path, operation }: Listed): Html {
  const { operationId, summary, description, parameters = [], requestBody, responses } = operation;
  const scope = operation['x-scope'];
  const body = requestBody?.content['application/json'];
  return html`<article id="${operationId}">
<h3>${verb(method)} <code>${path}</code></h3>
<p>${prose(summary)}. ${prose(description)}</p>
<p class="scope">${scope === 'nobody' ? 'Needs no key.' : html`Needs a key with the scope <code>${scope}</code>.`}</p>
${
  parameters.length > 0 &&
  html`<h4>Parameters</h4>
<div class="wide"><table><thead><tr><th>Name</th><th>In</th><th>Type</th><th>Meaning</th></tr></thead><tbody>
${parameters.map(
  (one) => html`<tr><td><code>${one.name}</code>${one.required && ' *'}</td><td>${one.in}</td>
<td>${typeOf(one.schema)}</td><td>${prose(one.description)} ${fallback(one.schema)}</td></tr>
`,
)}</tbody></table></div>
`
}${
  body &&
  html`<h4>Body${requestBody?.required ? '' : ' (may be left out)'}</h4>
${schemaOf(body.schema)}`
}<h4>Answers</h4>
<dl>
${Object.entries(responses).map(([status, answer]) => {
  if ('$ref' in answer) return false;
  const content = Object.values(answer.content ?? {})[0];
  return html`<dt>${status}</dt><dd>${prose(answer.description)} ${content && typeOf(content.schema)}</dd>
`;
})}</dl>
<h4>Example</h4>
<pre tabindex="0"><code>${curlOf(document, { method, path, operation })}</code></pre>
</article>
`;
}

const fallback = (schema: Json): Piece =>
  schema.default === undefined ? '' : html`Default: <code>${JSON.stringify(schema.default)}</code>.`;

/** A type in a few words, with a link where it has a name. */
function typeOf(schema: Json): Piece {
  const {
    $ref,
    anyOf,
    type,
    items,
    enum: values,
    format,
  } = schema as {
    $ref?: string;
    anyOf?: Json[];
    type?: string | string[];
    items?: Json;
    enum?: unknown[];
    format?: string;
  };
  if ($ref) {
    const name = $ref.split('/').at(-1)!;
    return html`<a href="#schema-${name}">${name}</a>`;
  }
  if (anyOf) return anyOf.map((one, index) => [index > 0 && ' or ', typeOf(one)]);
  if (schema.const !== undefined) return html`<code>${JSON.stringify(schema.const)}</code>`;
  if (values) {
    return values.map((one, index) => [index > 0 && ', ', html`<code>${JSON.stringify(one)}</code>`]);
  }
  if (items) return ['list of ', typeOf(items)];
  const words = [type ?? 'any'].flat().join(' or ');
  return [format ? `${words} (${format})` : words, rangeOf(schema)];
}

function rangeOf({ minimum, maximum, maxLength }: Json): string {
  if (minimum !== undefined && maximum !== undefined) return `, ${minimum} to ${maximum}`;
  if (minimum !== undefined) return `, ${minimum} or more`;
  return maxLength === undefined ? '' : `, up to ${maxLength} characters`;
}

/** The fields of an object, and of the objects in it that have no name of their own; an example, if there is one. */
function schemaOf(schema: Json): Html {
  const rows = rowsOf(schema, '');
  const { description, examples } = schema as { description?: string; examples?: unknown[] };
  return html`${
    description &&
    html`<p>${prose(description)}</p>
`
  }${
    rows.length === 0
      ? html`<p>${typeOf(schema)}</p>
`
      : html`<div class="wide"><table><thead><tr><th>Field</th><th>Type</th><th>Meaning</th></tr></thead><tbody>
${rows.map(
  ({ name, required, schema: one }) => html`<tr><td><code>${name}</code>${required && ' *'}</td>
<td>${typeOf(one)}</td><td>${prose(one.description)} ${fallback(one)}</td></tr>
`,
)}</tbody></table></div>
`
  }${
    examples?.[0] !== undefined &&
    html`<details><summary>Example</summary><pre tabindex="0"><code>${JSON.stringify(examples[0], null, 2)}</code></pre></details>
`
  }`;
}

type Row = { name: string; required: boolean; schema: Json };

function rowsOf(schema: Json, prefix: string): Row[] {
  const {
    properties = {},
    required = [],
    items,
    anyOf,
  } = schema as {
    properties?: Record<string, Json>;
    required?: string[];
    items?: Json;
    anyOf?: Json[];
  };
  const own = Object.entries(properties).flatMap(([key, one]) => {
    const name = `${prefix}${key}`;
    return [{ name, required: required.includes(key), schema: one }, ...rowsOf(one, `${name}.`)];
  });
  const list = items ? rowsOf(items, prefix === '' ? '[].' : `${prefix.slice(0, -1)}[].`) : [];
  const others = anyOf?.some((one) => one.properties) ? anyOf.flatMap((one) => rowsOf(one, prefix)) : [];
  return [...own, ...list, ...others];
}

/** What can be pasted into a shell; ids stand as the documents print them. */
function curlOf(document: ApiDocument, { method, path, operation }: Listed): string {
  const url = path.replace(/\{(\w+)\}/g, (_, name: string) => EXAMPLE_PARTS[name] ?? `${name}_xxxxx`);
  const lines = [`curl ${method === 'GET' ? '' : `-X ${method} `}"$WARMLINE${url}"`];
  if (operation['x-scope'] !== 'nobody') lines.push('-H "Authorization: Bearer $WARMLINE_API_KEY"');
  const body = operation.requestBody?.content['application/json'];
  const example = body?.example ?? exampleOf(document, body?.schema);
  if (example !== undefined) {
    lines.push(
      '-H "Content-Type: application/json"',
      `-d '${JSON.stringify(example).replaceAll("'", "'\\''")}'`,
    );
  }
  return lines.join(' \\\n  ');
}

const EXAMPLE_PARTS: Record<string, string> = {
  id: 'ip_xxxxx',
  ipId: 'ip_xxxxx',
  poolId: 'pool_xxxxx',
  ip: '203.0.113.7',
  ip_address: '203.0.113.7',
};

function exampleOf({ components }: ApiDocument, schema: Json | undefined): unknown {
  const named = schema?.$ref ? components.schemas[String(schema.$ref).split('/').at(-1)!] : schema;
  return (named?.examples as unknown[] | undefined)?.[0];
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --quiet: #5a6470; --line: #d9dee4; --wash: #f4f6f8; --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --paper: #14171a; --quiet: #a0aab4; --line: #333b43; --wash: #1d2227; --link: #7db8f5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
header, nav, main { max-width: 62rem; margin: 0 auto; padding: 0 1rem; }
h1 { margin: 2rem 0 0.5rem; font-size: 1.8rem; } h1 small { color: var(--quiet); font-weight: 400; font-size: 1rem; }
h2 { margin: 2.5rem 0 0.25rem; border-bottom: 1px solid var(--line); }
h3 { margin: 2rem 0 0.25rem; font-size: 1.05rem; overflow-wrap: anywhere; } h4 { margin: 1rem 0 0.25rem; font-size: 0.9rem; }
article { scroll-margin-top: 1rem; border-bottom: 1px dashed var(--line); padding-bottom: 1rem; }
a { color: var(--link); } a:focus-visible, summary:focus-visible, pre:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: 0.5rem; background: var(--paper); padding: 0.5rem; }
code, pre { font: 0.88em/1.5 ui-monospace, monospace; } code { overflow-wrap: anywhere; }
pre { background: var(--wash); border: 1px solid var(--line); border-radius: 6px; padding: 0.75rem; overflow-x: auto; }
pre code { overflow-wrap: normal; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 0.92rem; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.8rem 0.3rem 0; border-bottom: 1px solid var(--line); } th { color: var(--quiet); font-weight: 600; }
dl { display: grid; grid-template-columns: 3rem 1fr; margin: 0; } dt { font-weight: 600; } dd { margin: 0; }
.scope { color: var(--quiet); } summary { cursor: pointer; padding: 0.2rem 0; }
nav ul { list-style: none; margin: 0; padding: 0 0 0.5rem 1rem; } nav li { overflow-wrap: anywhere; padding: 0.15rem 0; }
.verb { display: inline-block; min-width: 4.2rem; font: 600 0.8rem/1.4 ui-monospace, monospace; }
.get { color: #1a7f45; } .post { color: #0b5cad; } .patch, .put { color: #8a5a00; } .delete { color: #b3261e; }
@media (prefers-color-scheme: dark) { .get { color: #6fd79b; } .post { color: #7db8f5; } .patch, .put { color: #f0c06a; } .delete { color: #ff9a91; } }
`;
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');
