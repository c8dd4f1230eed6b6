/** What is known of a row that differs, see look-at-rows.ts. */
export interface DifferenceFacts {
  readonly inDb1: boolean;
  /** 0 when DB1 has no such row, or the log never knew it. */
  readonly versionInDb1: number;
  /** Whether DB2 shows a row of that email. */
  readonly inDb2: boolean;
  /** The version that DB2 has, tombstones included; 0 when it knows nothing of the email. */
  readonly versionInDb2: number;
  /** Whether DB1 is as the last change of that email in its log says. Undefined when the log has none any more. */
  readonly asLogged: boolean | undefined;
}

/**
 * - `capture_hole`: DB1 is not what its log says: somebody got around the triggers.
 * - `missing`, `extra`: only DB1 has the row, or only DB2.
 * - `stale`: DB2 has an older version. `ahead`: DB2 has a newer one than DB1.
 * - `content`: the same version, other values: somebody wrote to DB2.
 */
export const CAUSES = ['capture_hole', 'missing', 'extra', 'stale', 'ahead', 'content'] as const;
export type Cause = (typeof CAUSES)[number];

export function causeOf({ inDb1, versionInDb1, inDb2, versionInDb2, asLogged }: DifferenceFacts): Cause {
  if (asLogged === false) return 'capture_hole';
  if (!inDb2) return 'missing';
  if (!inDb1) return 'extra';
  if (versionInDb2 === versionInDb1) return 'content';
  return versionInDb2 < versionInDb1 ? 'stale' : 'ahead';
}
