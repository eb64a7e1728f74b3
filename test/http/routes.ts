import type { FastifyInstance } from 'fastify';

const PAGES = /^[A-Z]+ \/($|assets\/|sign-in|sign-out|live|stop|ips\/|pools|schedules|held|changes)/;

/** What the router knows, without the pages of the dashboard: `GET /v1/dedicated-ips/{id}`. */
export const routesOfApi = (app: FastifyInstance) => routesOf(app).filter((name) => !PAGES.test(name));

/** The pages of the dashboard, what stands on them, and what their forms are sent to. */
export const pagesOf = (app: FastifyInstance) => routesOf(app).filter((name) => PAGES.test(name));

/** All that the router knows, in its own words. */
function routesOf(app: FastifyInstance): string[] {
  const printed = app.printRoutes({ commonPrefix: false, includeHooks: false });
  const names: string[] = [];
  const above: string[] = [];
  for (const line of printed.split('\n')) {
    const found = /^((?:[│ ] {3})*)[├└]── (.+?)(?: \(([A-Z, ]+)\))?$/.exec(line);
    if (!found) continue;
    const [, indent, part, methods = ''] = found;
    const depth = indent!.length / 4;
    above.length = depth;
    above[depth] = part!;
    const path = above.join('').replace(/(?<=\/):(\w+)(\([^)]*\))?/g, (_, name) => `{${name}}`);
    for (const method of methods.split(', '))
      if (method && method !== 'HEAD') names.push(`${method} ${path}`);
  }
  return names;
}
