/** Which status may follow which: the only place that knows. The 409 of the API and the tests read the same table. */

export const STATUSES = ['provisioning', 'warming', 'active', 'cooldown', 'released'] as const;
export type Status = (typeof STATUSES)[number];

/**
 * Besides these there is one way back: from cooldown to the status before it (a restore). A hold is no status.
 */
export const FOLLOWS: Readonly<Record<Status, readonly Status[]>> = {
  provisioning: ['warming', 'cooldown'],
  warming: ['active', 'cooldown'],
  active: ['warming', 'cooldown'],
  cooldown: ['released', 'provisioning', 'warming', 'active'],
  released: [],
};

export const mayFollow = (from: Status, to: Status) => FOLLOWS[from].includes(to);
