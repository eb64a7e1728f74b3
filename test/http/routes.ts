import type { FastifyInstance } from 'fastify';

const PAGES = /^[A-Z]+ \/($|assets\/|sign-in|sign-out|live|stop|ips\/|pools|schedules|held|changes)/;

/** What the router knows, in its own words, without the pages of the dashboard: `GET /v1/dedicated-ips/{id}`. */
export function routesOfApi(app: FastifyInstance): string[] {
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
  return names.filter((name) => !PAGES.test(name));
}
