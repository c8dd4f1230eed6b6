/** The statuses that the API takes. Raw SQL may set any other; it is replicated all the same. */
export const STATUSES = ['pending', 'trialing', 'active', 'past_due', 'paused', 'canceled', 'expired'] as const;
export type Status = (typeof STATUSES)[number];
