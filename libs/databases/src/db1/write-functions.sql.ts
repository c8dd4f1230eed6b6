/**
 * What the API of the release before writes with, kept for its processes while a deployment rolls (now: subscription-write.sql.ts), and
 * what both share. One round trip a write, the caller's context set for the triggers in the same transaction.
 * They are functions because a row that took a key may draw its version again after RETURNING was computed (ADR 2): only a
 * later statement sees the version it ended with, and an ETag must not lie.
 *
 * `fields` is a JSON object of business columns; keys that are no columns are ignored, and what is ours (email, version,
 * created_at, updated_at) is never taken from it. `context`: actor, reason, origin, traceparent. Each returns the row as
 * `subscription_json` shows it, and its version; no row means no such email.
 */
export const CREATE_WRITE_FUNCTIONS = `
CREATE FUNCTION subscription_json(s subscriptions) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT row_to_json(r)::text
  FROM (SELECT s.email, s.status, s.plan, s.access_until, s.cancel_at_period_end, s.metadata, s.version, s.created_at, s.updated_at) r
$$;

CREATE FUNCTION subscription_set_context(context jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('subscription_sync.actor', coalesce(context->>'actor', ''), true),
          set_config('subscription_sync.reason', coalesce(context->>'reason', ''), true),
          set_config('subscription_sync.origin', coalesce(context->>'origin', ''), true),
          set_config('subscription_sync.traceparent', coalesce(context->>'traceparent', ''), true);
END $$;

CREATE FUNCTION subscription_create(p_email text, fields jsonb, context jsonb) RETURNS TABLE (version bigint, body text)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM subscription_set_context(context);
  INSERT INTO subscriptions (email, status, plan, access_until, cancel_at_period_end, metadata)
  SELECT p_email, f.status, f.plan, f.access_until, coalesce(f.cancel_at_period_end, false), coalesce(f.metadata, '{}')
  FROM jsonb_populate_record(NULL::subscriptions, fields) f;
  RETURN QUERY SELECT s.version, subscription_json(s) FROM subscriptions s WHERE s.email = subscription_email(p_email);
END $$;

-- Creates, or replaces every business column: what fields leaves out goes back to its default.
CREATE FUNCTION subscription_put(p_email text, fields jsonb, context jsonb)
RETURNS TABLE (version bigint, body text, created boolean)
LANGUAGE plpgsql AS $$
DECLARE
  is_new boolean;
BEGIN
  PERFORM subscription_set_context(context);
  INSERT INTO subscriptions AS s (email, status, plan, access_until, cancel_at_period_end, metadata)
  SELECT p_email, f.status, f.plan, f.access_until, coalesce(f.cancel_at_period_end, false), coalesce(f.metadata, '{}')
  FROM jsonb_populate_record(NULL::subscriptions, fields) f
  ON CONFLICT (email) DO UPDATE SET status = excluded.status, plan = excluded.plan, access_until = excluded.access_until,
    cancel_at_period_end = excluded.cancel_at_period_end, metadata = excluded.metadata
  RETURNING s.xmax = 0 INTO is_new;
  RETURN QUERY SELECT s.version, subscription_json(s), is_new FROM subscriptions s WHERE s.email = subscription_email(p_email);
END $$;

-- Changes the columns that fields names, nothing else.
CREATE FUNCTION subscription_patch(p_email text, fields jsonb, context jsonb) RETURNS TABLE (version bigint, body text)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM subscription_set_context(context);
  RETURN QUERY
  UPDATE subscriptions s
  SET (status, plan, access_until, cancel_at_period_end, metadata) =
    (SELECT f.status, f.plan, f.access_until, f.cancel_at_period_end, f.metadata FROM jsonb_populate_record(s, fields) f)
  WHERE s.email = subscription_email(p_email)
  RETURNING s.version, subscription_json(s);
END $$;

CREATE FUNCTION subscription_delete(p_email text, context jsonb) RETURNS TABLE (version bigint, body text)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM subscription_set_context(context);
  RETURN QUERY
  DELETE FROM subscriptions s WHERE s.email = subscription_email(p_email) RETURNING s.version, subscription_json(s);
END $$;`;
