/** Which dialect a request speaks: its path says so, also where there is no such route. */
import type { FastifyRequest } from 'fastify';

/** Clients whose base URL ends with a slash double the first one. */
export const speaksV3 = ({ url }: Pick<FastifyRequest, 'url'>): boolean => /^\/+v3(\/|\?|$)/.test(url);
