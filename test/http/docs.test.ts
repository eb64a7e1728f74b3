import { beforeAll, expect, test } from 'vitest';
import { renderDocs } from '../../src/http/docs.ts';
import type { ApiDocument } from '../../src/http/openapi.ts';
import { describedBy } from './described.ts';
import { type Answer, useApi } from './support.ts';

// The page for people: everything of the document, nothing from elsewhere, and no way to smuggle anything in.

const api = useApi();
let answer: Answer;
let page: string;
let document: ApiDocument;
beforeAll(async () => {
  answer = await api.askAs(null)('GET', '/docs');
  page = answer.body;
  document = (await describedBy(api.app)).document;
});

test('is there for everybody, as HTML', () => {
  expect(answer.status).toBe(200);
  expect(answer.headers['content-type']).toBe('text/html; charset=utf-8');
  expect(page).toMatch(/^<!doctype html>\n<html lang="en">/);
});

test('shows every route, parameter, field of a body and answer', () => {
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const [article] = page.split(`<article id="${operation.operationId}">`)[1]!.split('</article>');
      expect(article, operation.operationId).toContain(
        `<b class="verb ${method}">${method.toUpperCase()}</b> <code>${path}</code>`,
      );
      for (const { name } of operation.parameters ?? []) expect(article).toContain(`<code>${name}</code>`);
      for (const status of Object.keys(operation.responses)) expect(article).toContain(`<dt>${status}</dt>`);
      expect(article).toContain('curl ');
    }
  }
});

test('loads nothing, runs nothing, and is told so to the browser', () => {
  expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|\son\w+=|style="/i);
  expect([...page.matchAll(/(?:href|src)="([^"]*)"/g)].map(([, to]) => to)).toSatisfy((all: string[]) =>
    all.every((to) => to.startsWith('#') || to === '/openapi.json'),
  );
  const policy = String(answer.headers['content-security-policy']);
  expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[\w+/=]+';/);
  expect(policy).not.toContain('unsafe');
});

test('the policy lets its own style in', async () => {
  const style = /<style>([\s\S]*?)<\/style>/.exec(page)![1]!;
  const hash = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(style))).toString('base64');
  expect(answer.headers['content-security-policy']).toContain(`'sha256-${hash}'`);
});

test('every link leads somewhere, every id is there once, every tag is closed', () => {
  const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const [, to] of page.matchAll(/href="#([^"]*)"/g)) expect(ids).toContain(to);
  const open: string[] = [];
  for (const [, slash, tag] of page.matchAll(/<(\/?)([a-z]+\d?)\b[^>]*>/g)) {
    if (['meta'].includes(tag!)) continue;
    if (slash) expect(open.pop()).toBe(tag);
    else open.push(tag!);
  }
  expect(open).toEqual([]);
});

test('reads on a phone and in the dark', () => {
  expect(page).toContain('<meta name="viewport" content="width=device-width, initial-scale=1">');
  expect(page).toContain('prefers-color-scheme: dark');
  // Wide tables and code scroll by themselves, so that the page does not.
  expect(page.match(/<table>/g)).toHaveLength(page.match(/<div class="wide"><table>/g)!.length);
});

test('what a description says is text, whatever stands in it', () => {
  const evil = `<script>alert("1")</script>'&`;
  const hostile: ApiDocument = {
    openapi: '3.1.1',
    info: { title: evil, version: evil, description: evil },
    tags: [{ name: 'Evil', description: evil }],
    paths: {
      '/x/{id}': {
        post: {
          operationId: 'evil',
          summary: evil,
          description: `\`${evil}\``,
          tags: ['Evil'],
          parameters: [
            {
              name: evil,
              in: 'query',
              required: false,
              description: evil,
              schema: { enum: [evil], default: evil },
            },
          ],
          requestBody: {
            required: true,
            content: {
              'application/json': {
                schema: { type: 'object', properties: { [evil]: { type: 'string', description: evil } } },
                example: { [evil]: evil },
              },
            },
          },
          responses: { '200': { description: evil } },
          'x-scope': 'write',
        },
      },
    },
    components: { schemas: { Evil: { type: 'object', description: evil, examples: [evil] } } },
  };
  const made = renderDocs(hostile);
  expect(made).not.toContain('<script');
  expect(made).toContain('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;');
  // In the shell a quote ends nothing either.
  expect(made).toContain('&#39;\\&#39;&#39;');
});
