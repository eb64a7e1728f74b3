/**
 * The commands of `warmline`. Each is one file in this folder that exports `register(command)`, and one line here; only the
 * file of the command that was asked for is loaded, because `dry-run` is piped in scripts and must not wait for Fastify and
 * BullMQ (0.12 and 0.19 s on the machine where it starts in 0.18 s).
 */
import type { Command } from 'commander';

/** What a command's file exports: it adds its options, its examples and its action. */
export type CommandFile = { register(command: Command): unknown };
type CommandEntry = { name: string; summary: string; load: () => Promise<CommandFile> };

/** In the order of `warmline --help`. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'serve',
    summary: 'API and worker in one process, with a Redis of its own if none is named',
    load: () => import('./serve.ts'),
  },
  { name: 'api', summary: 'the API alone', load: () => import('./api.ts') },
  { name: 'worker', summary: 'the worker alone', load: () => import('./worker.ts') },
  {
    name: 'dry-run',
    summary: 'print what a plan lets an IP send, day by day',
    load: () => import('./dry-run.ts'),
  },
  {
    name: 'inventory',
    summary: 'the addresses that accounts take from',
    load: () => import('./inventory.ts'),
  },
  { name: 'ips', summary: 'dedicated IPs: create, start, release', load: () => import('./ips.ts') },
  { name: 'pools', summary: 'names for groups of IPs', load: () => import('./pools.ts') },
  { name: 'quota', summary: 'what an IP or a pool may send now', load: () => import('./quota.ts') },
  {
    name: 'demand',
    summary: 'what senders wanted, and what of it was held',
    load: () => import('./demand.ts'),
  },
  { name: 'explain', summary: 'why mail is held, and until when', load: () => import('./explain.ts') },
  { name: 'forecast', summary: 'when a campaign will be done', load: () => import('./forecast.ts') },
  { name: 'changes', summary: 'who changed what, and why', load: () => import('./changes.ts') },
  { name: 'webhooks', summary: 'who is told what happens', load: () => import('./webhooks.ts') },
  {
    name: 'hold',
    summary: 'the stop button, for an IP, a pool or the whole account',
    load: () => import('./hold.ts'),
  },
  { name: 'resume', summary: 'lift a hold', load: async () => (await import('./hold.ts')).resume },
  { name: 'accounts', summary: 'who owns IPs, pools and keys', load: () => import('./accounts.ts') },
  { name: 'keys', summary: 'who may ask the API, and for what', load: () => import('./keys.ts') },
  { name: 'check', summary: 'examine a deployment, and say what to do', load: () => import('./check.ts') },
  { name: 'backup', summary: 'an account as a file', load: () => import('./backup.ts') },
  { name: 'restore', summary: 'an account from its file', load: () => import('./restore.ts') },
  {
    name: 'demo',
    summary: 'a whole warm-up with real SMTP on this machine, in about a minute',
    load: () => import('./demo.ts'),
  },
  {
    name: 'completion',
    summary: 'a script with which a shell completes all this',
    load: () => import('./completion.ts'),
  },
];
