/** The record that measures the whole way (docs/operating.md). It is deleted ever anew, so no table shows it; the log and the topic do. */
export const CANARY_EMAIL = 'canary@subscription-sync.invalid';
