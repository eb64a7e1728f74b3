/** A browser without a browser: keeps the cookie of its session, and presses buttons with the token of its page. */
import { expect } from 'vitest';
import type { Api } from '../http/support.ts';

export type Shown = { status: number; body: string; headers: Record<string, unknown>; to: string };

export interface Visitor {
  get(url: string, headers?: Record<string, string>): Promise<Shown>;
  /** Submits a form with its own token. */
  press(url: string, fields?: Record<string, string>): Promise<Shown>;
  /** Posts what is given and nothing else. */
  post(url: string, fields: Record<string, string>, headers?: Record<string, string>): Promise<Shown>;
  readonly cookie: string;
}

/** Somebody at the door. */
export function visitor({ app }: Api, cookie = ''): Visitor {
  const ask = async (
    method: 'GET' | 'POST',
    url: string,
    headers: Record<string, string>,
    payload?: string,
  ): Promise<Shown> => {
    const form = payload === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' };
    const response = await app.inject({
      method,
      url,
      headers: { ...(cookie ? { cookie } : {}), ...form, ...headers },
      ...(payload === undefined ? {} : { payload }),
    });
    return {
      status: response.statusCode,
      body: response.body,
      headers: response.headers,
      to: String(response.headers.location ?? ''),
    };
  };
  const post: Visitor['post'] = (url, fields, headers = {}) =>
    ask('POST', url, headers, new URLSearchParams(fields).toString());
  return {
    cookie,
    get: (url, headers = {}) => ask('GET', url, headers),
    post,
    async press(url, fields = {}) {
      const { body } = await ask('GET', '/changes', {});
      const [, csrf = ''] = /name="csrf" value="([^"]+)"/.exec(body) ?? [];
      return post(url, { csrf, ...fields });
    },
  };
}

export async function signedIn(api: Api, key: string): Promise<Visitor> {
  const shown = await visitor(api).post('/sign-in', { key });
  expect(shown.status).toBe(303);
  return visitor(api, String(shown.headers['set-cookie']).split(';')[0]);
}
