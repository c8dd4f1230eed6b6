/** Returns a transaction that changes DB1 past the service's triggers, as a program with the owner's rights could. */
export function pastTriggers(statements: string): string {
  return `
  BEGIN;
  ALTER TABLE subscriptions DISABLE TRIGGER USER;
  ${statements};
  DO $$
  DECLARE
    name text;
  BEGIN
    FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'subscriptions'::regclass AND NOT tgisinternal LOOP
      EXECUTE format('ALTER TABLE subscriptions ENABLE ALWAYS TRIGGER %I', name);
    END LOOP;
  END $$;
  COMMIT`;
}
