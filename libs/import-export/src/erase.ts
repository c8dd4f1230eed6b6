import type { Query } from '#postgres';

/** Erases an email from the errors of imports. They name fields and lines and not values, but a file may have an email in any place. */
export async function eraseFromImports(query: Query, email: string): Promise<void> {
  await query(
    `UPDATE subscription_sync.imports i SET
       errors = (SELECT coalesce(jsonb_agg(e.value ORDER BY e.n), '[]') FROM jsonb_array_elements(i.errors) WITH ORDINALITY e(value, n)
                 WHERE strpos(lower(e.value::text), $1) = 0),
       error = CASE WHEN strpos(lower(i.error), $1) > 0 THEN NULL ELSE i.error END
     WHERE strpos(lower(i.errors::text), $1) > 0 OR strpos(lower(i.error), $1) > 0`,
    [email],
  );
}
