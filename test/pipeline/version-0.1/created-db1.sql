CREATE TABLE public.subscriptions (
    email text NOT NULL COLLATE pg_catalog."C",
    status text DEFAULT 'pending'::text NOT NULL,
    plan text,
    access_until timestamp with time zone,
    cancel_at_period_end boolean DEFAULT false NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    version bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT subscriptions_email_not_empty CHECK ((email <> ''::text))
);
CREATE FUNCTION public.subscription_append_change(operation text, image public.subscriptions, previous text, forbidden boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
DECLARE
  actor       text := coalesce(nullif(current_setting('subscription_sync.actor', true), ''), session_user);
  reason      text := nullif(current_setting('subscription_sync.reason', true), '');
  origin      text := coalesce(nullif(current_setting('subscription_sync.origin', true), ''), 'sql');
  traceparent text := nullif(current_setting('subscription_sync.traceparent', true), '');
  occurred    timestamptz := CASE operation WHEN 'resynced' THEN clock_timestamp() ELSE image.updated_at END;
BEGIN
  INSERT INTO subscription_changes
    (version, operation, email, event, actor, reason, origin, application_name, traceparent, occurred_at, forbidden)
  VALUES (
    image.version, operation, image.email,
    concat(
      '{"specversion":"1.0","id":"', image.version,
      '","source":"/subscription-sync/db1","type":"subscription.', operation,
      '","subject":', to_json(image.email),
      ',"time":', to_json(occurred),
      ',"datacontenttype":"application/json"',
      ',"traceparent":' || to_json(traceparent)::text,
      ',"data":{"subscription":', row_to_json(image),
      ',"previous":{', CASE WHEN octet_length(previous) <= 1048576 THEN previous END,
      '},"actor":', to_json(actor),
      ',"reason":', coalesce(to_json(reason), 'null'),
      ',"origin":', to_json(origin), '}}'),
    actor, reason, origin, nullif(current_setting('application_name'), ''), traceparent, occurred, coalesce(forbidden, false));
END $$;
CREATE FUNCTION public.subscription_create(p_email text, fields jsonb, context jsonb) RETURNS TABLE(version bigint, body text)
    LANGUAGE plpgsql
    AS $$
BEGIN
  PERFORM subscription_set_context(context);
  INSERT INTO subscriptions (email, status, plan, access_until, cancel_at_period_end, metadata)
  SELECT p_email, f.status, f.plan, f.access_until, coalesce(f.cancel_at_period_end, false), coalesce(f.metadata, '{}')
  FROM jsonb_populate_record(NULL::subscriptions, fields) f;
  RETURN QUERY SELECT s.version, subscription_json(s) FROM subscriptions s WHERE s.email = subscription_email(p_email);
END $$;
CREATE FUNCTION public.subscription_delete(p_email text, context jsonb) RETURNS TABLE(version bigint, body text)
    LANGUAGE plpgsql
    AS $$
BEGIN
  PERFORM subscription_set_context(context);
  RETURN QUERY
  DELETE FROM subscriptions s WHERE s.email = subscription_email(p_email) RETURNING s.version, subscription_json(s);
END $$;
CREATE FUNCTION public.subscription_draw_version() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
  asked bigint := NEW.version;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    -- The redraw below names the version it writes; anyone else's version (an ORM writing a whole row back) is ignored.
    IF NEW.version <> OLD.version AND current_setting('subscription_sync.redraw', true) = NEW.version::text THEN
      RETURN NEW;
    END IF;
    NEW.version := OLD.version;
    NEW.updated_at := OLD.updated_at;
    IF OLD.version = 0 OR NEW.email IS DISTINCT FROM OLD.email THEN
      NEW.email := subscription_email(NEW.email);
    END IF;
    IF OLD.version <> 0 AND NOT (NEW *<> OLD) THEN
      -- A resync: the row as it is, with a new version. It counts as no change of the row, so updated_at stays.
      IF asked = 0 AND current_setting('subscription_sync.resync', true) = 'on' THEN
        NEW.version := nextval('subscription_version');
      END IF;
      RETURN NEW;
    END IF;
  ELSE
    NEW.email := subscription_email(NEW.email);
  END IF;
  NEW.version := nextval('subscription_version');
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$;
CREATE FUNCTION public.subscription_email(raw text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT normalize(lower(btrim(raw, E' \t\n\r\f\v\u00a0') COLLATE "und-x-icu"), NFC) COLLATE "C" $$;
CREATE FUNCTION public.subscription_import(lines jsonb, context jsonb) RETURNS TABLE(created integer, updated integer)
    LANGUAGE plpgsql
    AS $$
      BEGIN
        PERFORM subscription_set_context(context);
        RETURN QUERY
        WITH written AS (
          INSERT INTO subscriptions AS s (email, status, plan, access_until, cancel_at_period_end, metadata)
          SELECT subscription_email(f.email), f.status, f.plan, f.access_until, coalesce(f.cancel_at_period_end, false), coalesce(f.metadata, '{}')
          FROM jsonb_populate_recordset(NULL::subscriptions, lines) f
          ORDER BY 1
          ON CONFLICT (email) DO UPDATE SET status = excluded.status, plan = excluded.plan, access_until = excluded.access_until,
            cancel_at_period_end = excluded.cancel_at_period_end, metadata = excluded.metadata
          WHERE (s.status, s.plan, s.access_until, s.cancel_at_period_end, s.metadata)
            IS DISTINCT FROM (excluded.status, excluded.plan, excluded.access_until, excluded.cancel_at_period_end, excluded.metadata)
          RETURNING s.xmax = 0 AS is_new
        )
        SELECT count(*) FILTER (WHERE is_new)::integer, count(*) FILTER (WHERE NOT is_new)::integer FROM written;
      END $$;
CREATE FUNCTION public.subscription_json(s public.subscriptions) RETURNS text
    LANGUAGE sql STABLE
    AS $$
  SELECT row_to_json(r)::text
  FROM (SELECT s.email, s.status, s.plan, s.access_until, s.cancel_at_period_end, s.metadata, s.version, s.created_at, s.updated_at) r
$$;
CREATE FUNCTION public.subscription_log_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
DECLARE
  operation text := 'updated';
  previous  text;
  taken     boolean := false;
  drawn     bigint;
  forbidden boolean := false;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF pg_trigger_depth() > 1 AND current_setting('subscription_sync.redraw', true) = NEW.version::text THEN
      RETURN NULL;
    END IF;
    IF OLD.version = 0 THEN
      operation := 'created';
      taken := NEW.email <> OLD.email;
    ELSIF NEW.email <> OLD.email THEN
      operation := 'created';
      taken := true;
      OLD.version := nextval('subscription_version');
      OLD.updated_at := NEW.updated_at;
      PERFORM subscription_append_change('deleted', OLD, NULL);
    ELSIF NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at AND current_setting('subscription_sync.resync', true) = 'on' THEN
      operation := 'resynced';
    ELSE
      previous := substr(concat(
        CASE WHEN NEW."status" IS DISTINCT FROM OLD."status" THEN concat(',"status":', coalesce(to_json(OLD."status"), 'null')) END,
        CASE WHEN NEW."plan" IS DISTINCT FROM OLD."plan" THEN concat(',"plan":', coalesce(to_json(OLD."plan"), 'null')) END,
        CASE WHEN NEW."access_until" IS DISTINCT FROM OLD."access_until" THEN concat(',"access_until":', coalesce(to_json(OLD."access_until"), 'null')) END,
        CASE WHEN NEW."cancel_at_period_end" IS DISTINCT FROM OLD."cancel_at_period_end" THEN concat(',"cancel_at_period_end":', coalesce(to_json(OLD."cancel_at_period_end"), 'null')) END,
        CASE WHEN NEW."metadata" IS DISTINCT FROM OLD."metadata" THEN concat(',"metadata":', coalesce(to_json(OLD."metadata"), 'null')) END,
        CASE WHEN NEW."created_at" IS DISTINCT FROM OLD."created_at" THEN concat(',"created_at":', coalesce(to_json(OLD."created_at"), 'null')) END
      ), 2);
      forbidden := NEW.status <> OLD.status AND NOT subscription_may_follow(OLD.status::text, NEW.status::text,
        coalesce(current_setting('subscription_sync.reactivate', true) = 'on', false));
    END IF;
  ELSIF TG_OP = 'INSERT' THEN
    operation := 'created';
    taken := true;
  ELSE
    OLD.version := nextval('subscription_version');
    OLD.updated_at := clock_timestamp();
    PERFORM subscription_append_change('deleted', OLD, NULL);
    RETURN NULL;
  END IF;
  IF taken AND (
    current_setting('transaction_isolation') IN ('repeatable read', 'serializable')
    OR EXISTS (SELECT FROM subscription_changes c WHERE c.email = NEW.email AND c.version > NEW.version)
  ) THEN
    drawn := NEW.version;
    NEW.version := nextval('subscription_version');
    -- By its version, too: a snapshot above READ COMMITTED may still see the deleted row of that email, and refuse to update it.
    UPDATE subscriptions SET version = NEW.version WHERE email = NEW.email AND version = drawn;
  END IF;
  PERFORM subscription_append_change(operation, NEW, previous, forbidden);
  RETURN NULL;
END $$;
CREATE FUNCTION public.subscription_may_follow(before text, after text, reactivate boolean) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
  SELECT before = after OR CASE before
    WHEN 'pending' THEN after IN ('trialing', 'active', 'canceled', 'expired')
    WHEN 'trialing' THEN after IN ('active', 'past_due', 'paused', 'canceled', 'expired')
    WHEN 'active' THEN after IN ('past_due', 'paused', 'canceled', 'expired')
    WHEN 'past_due' THEN after IN ('active', 'paused', 'canceled', 'expired')
    WHEN 'paused' THEN after IN ('trialing', 'active', 'past_due', 'canceled', 'expired')
    WHEN 'canceled' THEN (reactivate AND after IN ('pending', 'trialing', 'active'))
    WHEN 'expired' THEN (reactivate AND after IN ('pending', 'trialing', 'active'))
    ELSE true END
$$;
CREATE FUNCTION public.subscription_merge_metadata(before jsonb, patch jsonb, at_most jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    AS $$
DECLARE
  merged jsonb   := subscription_merge_patch(before, patch);
  bytes  integer := octet_length(merged::text);
BEGIN
  IF bytes > octet_length(before::text)
    AND (bytes > (at_most->>'bytes')::integer OR (SELECT count(*) FROM jsonb_object_keys(merged)) > (at_most->>'keys')::integer) THEN
    RAISE EXCEPTION 'metadata would be too large' USING ERRCODE = 'SU001';
  END IF;
  RETURN merged;
END $$;
CREATE FUNCTION public.subscription_merge_patch(target jsonb, patch jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    AS $$
DECLARE
  merged jsonb := CASE jsonb_typeof(target) WHEN 'object' THEN target ELSE '{}' END;
  member record;
BEGIN
  IF jsonb_typeof(patch) <> 'object' THEN RETURN patch; END IF;
  FOR member IN SELECT p.key, p.value FROM jsonb_each(patch) p LOOP
    IF member.value = 'null' THEN
      merged := merged - member.key;
    ELSE
      merged := merged || jsonb_build_object(member.key, subscription_merge_patch(merged->member.key, member.value));
    END IF;
  END LOOP;
  RETURN merged;
END $$;
CREATE FUNCTION public.subscription_patch(p_email text, fields jsonb, context jsonb) RETURNS TABLE(version bigint, body text)
    LANGUAGE plpgsql
    AS $$
BEGIN
  PERFORM subscription_set_context(context);
  RETURN QUERY
  UPDATE subscriptions s
  SET (status, plan, access_until, cancel_at_period_end, metadata) =
    (SELECT f.status, f.plan, f.access_until, f.cancel_at_period_end, f.metadata FROM jsonb_populate_record(s, fields) f)
  WHERE s.email = subscription_email(p_email)
  RETURNING s.version, subscription_json(s);
END $$;
CREATE FUNCTION public.subscription_put(p_email text, fields jsonb, context jsonb) RETURNS TABLE(version bigint, body text, created boolean)
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION public.subscription_put_lines(lines jsonb, context jsonb) RETURNS TABLE(created integer, updated integer, refused jsonb)
    LANGUAGE plpgsql
    AS $$
DECLARE
  inserted integer;
  replaced integer;
  left_out jsonb;
  forbidden jsonb;
BEGIN
  created := 0;
  updated := 0;
  refused := '[]';
  PERFORM subscription_set_context(context);
  -- For the trigger's flag. Every line is judged by its own, so what is written is allowed.
  WHILE lines IS NOT NULL LOOP
    WITH given AS MATERIALIZED (
      SELECT l.line, l.line @> '{"reactivate": true}' AS reactivate, subscription_email(f.email) AS email,
        f.status, f.plan, f.access_until, coalesce(f.cancel_at_period_end, false) AS cancel_at_period_end, coalesce(f.metadata, '{}') AS metadata,
        row_number() OVER (PARTITION BY subscription_email(f.email) ORDER BY (l.line->>'line')::bigint) AS round
      FROM jsonb_array_elements(lines) l(line), jsonb_populate_record(NULL::subscriptions, l.line) f
    ), written AS (
      INSERT INTO subscriptions AS s (email, status, plan, access_until, cancel_at_period_end, metadata)
      SELECT g.email, g.status, g.plan, g.access_until, g.cancel_at_period_end, g.metadata FROM given g WHERE g.round = 1 ORDER BY g.email
      ON CONFLICT (email) DO UPDATE SET status = excluded.status, plan = excluded.plan, access_until = excluded.access_until,
        cancel_at_period_end = excluded.cancel_at_period_end, metadata = excluded.metadata
      WHERE (s.status, s.plan, s.access_until, s.cancel_at_period_end, s.metadata)
        IS DISTINCT FROM (excluded.status, excluded.plan, excluded.access_until, excluded.cancel_at_period_end, excluded.metadata)
        AND (subscription_may_follow(s.status::text, excluded.status::text, false)
          OR subscription_may_follow(s.status::text, excluded.status::text, true)
            AND excluded.email IN (SELECT g.email FROM given g WHERE g.round = 1 AND g.reactivate))
      RETURNING s.email, s.xmax = 0 AS is_new
    )
    SELECT count(*) FILTER (WHERE w.is_new), count(*) FILTER (WHERE NOT w.is_new),
      jsonb_agg(g.line - 'metadata') FILTER (WHERE g.round = 1 AND w.email IS NULL), jsonb_agg(g.line) FILTER (WHERE g.round > 1)
    INTO inserted, replaced, left_out, lines
    FROM given g LEFT JOIN written w ON w.email = g.email AND g.round = 1;
    created := created + inserted;
    updated := updated + replaced;
    SELECT jsonb_agg(jsonb_build_object('line', l.line->'line', 'before', s.status, 'status', l.line->'status', 'reactivate', l.line->'reactivate'))
    INTO forbidden
    FROM jsonb_array_elements(left_out) l(line) JOIN subscriptions s ON s.email = subscription_email(l.line->>'email')
    WHERE NOT subscription_may_follow(s.status::text, l.line->>'status', l.line @> '{"reactivate": true}');
    refused := refused || coalesce(forbidden, '[]');
  END LOOP;
  RETURN NEXT;
END $$;
CREATE FUNCTION public.subscription_refuse_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  RAISE EXCEPTION 'TRUNCATE of subscriptions is refused: it fires no row trigger, so Database 2 would never learn of it'
    USING ERRCODE = 'feature_not_supported', HINT = 'Use DELETE FROM subscriptions.';
END $$;
CREATE FUNCTION public.subscription_set_context(context jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
END $$;
CREATE FUNCTION public.subscription_write(op text, p_email text, fields jsonb, context jsonb, if_match bigint[], if_none_match bigint[]) RETURNS TABLE(outcome text, version bigint, body text, status text, replayed boolean)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_variable
DECLARE
  wanted      text    := subscription_email(p_email);
  target      text    := fields->>'status';
  reactivate  boolean := context @> '{"reactivate": true}';
  must_exist  boolean := if_match IS NOT NULL OR context @> '{"must_exist": true}';
  must_be_new boolean := context @> '{"must_be_new": true}';
  merges      boolean := op = 'patch' AND fields ? 'metadata';
  kept        idempotency_keys;
BEGIN
  replayed := false;
  IF context ? 'key' THEN
    -- Held until the commit. Whoever does not get it must not wait: it would wait for a client that may have given up long ago.
    IF NOT pg_try_advisory_xact_lock(hashtextextended(concat(context->>'actor', E'\n', context->>'key'), 0)) THEN
      outcome := 'key_in_use';
      RETURN NEXT;
      RETURN;
    END IF;
    SELECT * INTO kept FROM idempotency_keys k
    WHERE k.principal = context->>'actor' AND k.key = context->>'key' AND k.created_at > now() - interval '24 hours';
    IF FOUND THEN
      outcome := CASE WHEN kept.fingerprint = context->>'fingerprint' THEN kept.outcome ELSE 'key_reused' END;
      version := kept.version;
      body := kept.body;
      replayed := outcome <> 'key_reused';
      RETURN NEXT;
      RETURN;
    END IF;
  END IF;
  PERFORM subscription_set_context(context);
  IF op IN ('create', 'put') THEN
    fields := '{"plan": null, "access_until": null, "cancel_at_period_end": false, "metadata": {}}' || fields;
  END IF;
  FOR attempt IN 1..5 LOOP
    IF op IN ('put', 'patch') THEN
      UPDATE subscriptions s
      SET (status, plan, access_until, cancel_at_period_end, metadata) =
        (SELECT f.status, f.plan, f.access_until, f.cancel_at_period_end, f.metadata
         FROM jsonb_populate_record(s, CASE WHEN merges
           THEN jsonb_set(fields, '{metadata}', subscription_merge_metadata(to_jsonb(s.metadata), fields->'metadata', context->'metadata_at_most'))
           ELSE fields END) f)
      WHERE s.email = wanted AND NOT must_be_new
        AND (if_match IS NULL OR s.version = ANY (if_match))
        AND (if_none_match IS NULL OR s.version <> ALL (if_none_match))
        AND (target IS NULL OR subscription_may_follow(s.status::text, target, reactivate))
      RETURNING s.version, subscription_json(s) INTO version, body;
      IF FOUND THEN outcome := 'updated'; END IF;
    ELSIF op = 'delete' THEN
      DELETE FROM subscriptions s
      WHERE s.email = wanted AND NOT must_be_new
        AND (if_match IS NULL OR s.version = ANY (if_match))
        AND (if_none_match IS NULL OR s.version <> ALL (if_none_match));
      IF FOUND THEN
        outcome := 'deleted';
        -- Drawn by the trigger, in this session.
        version := currval('subscription_version');
      END IF;
    END IF;
    IF outcome IS NULL AND (op = 'create' OR op = 'put' AND NOT must_exist) THEN
      INSERT INTO subscriptions (email, status, plan, access_until, cancel_at_period_end, metadata)
      SELECT p_email, f.status, f.plan, f.access_until, f.cancel_at_period_end, f.metadata
      FROM jsonb_populate_record(NULL::subscriptions, fields) f
      ON CONFLICT (email) DO NOTHING;
      IF FOUND THEN
        outcome := 'created';
        -- A later statement: the row may have drawn its version again after RETURNING was computed (ADR 2).
        SELECT s.version, subscription_json(s) INTO version, body FROM subscriptions s WHERE s.email = wanted;
      END IF;
    END IF;
    EXIT WHEN outcome IS NOT NULL;
    SELECT s.version, s.status::text INTO version, status FROM subscriptions s WHERE s.email = wanted;
    IF NOT FOUND THEN
      IF op IN ('patch', 'delete') OR must_exist THEN outcome := 'missing'; END IF;
    ELSIF op = 'create' THEN
      outcome := 'exists';
    ELSIF must_be_new OR version <> ALL (if_match) OR version = ANY (if_none_match) THEN
      outcome := 'precondition_failed';
    ELSIF NOT subscription_may_follow(status, target, reactivate) THEN
      outcome := 'forbidden';
    END IF;
    EXIT WHEN outcome IS NOT NULL;
  END LOOP;
  IF outcome IS NULL THEN
    RAISE EXCEPTION 'others created and deleted the row all the time' USING ERRCODE = 'serialization_failure';
  END IF;
  -- Only what was done is kept. A refusal changed nothing: the same request later gets the answer of then.
  IF context ? 'key' AND outcome IN ('created', 'updated', 'deleted') THEN
    INSERT INTO idempotency_keys (principal, key, fingerprint, outcome, version, body)
    VALUES (context->>'actor', context->>'key', context->>'fingerprint', outcome, version, body)
    ON CONFLICT (principal, key) DO UPDATE SET fingerprint = excluded.fingerprint, outcome = excluded.outcome,
      version = excluded.version, body = excluded.body, created_at = excluded.created_at;
  END IF;
  RETURN NEXT;
END $$;
CREATE TABLE public.api_keys (
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    created_by text NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone,
    replaced_by text COLLATE pg_catalog."C"
);
CREATE TABLE public.idempotency_keys (
    principal text NOT NULL,
    key text NOT NULL,
    fingerprint text NOT NULL,
    outcome text NOT NULL,
    version bigint NOT NULL,
    body text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
CREATE TABLE public.imports (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    state text DEFAULT 'running'::text NOT NULL,
    dry_run boolean NOT NULL,
    lines bigint DEFAULT 0 NOT NULL,
    created bigint DEFAULT 0 NOT NULL,
    updated bigint DEFAULT 0 NOT NULL,
    unchanged bigint DEFAULT 0 NOT NULL,
    superseded bigint DEFAULT 0 NOT NULL,
    refused bigint DEFAULT 0 NOT NULL,
    errors jsonb DEFAULT '[]'::jsonb NOT NULL,
    error text,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT imports_state_check CHECK ((state = ANY (ARRAY['running'::text, 'finished'::text, 'failed'::text])))
);
CREATE TABLE public.log_horizon (
    id boolean DEFAULT true NOT NULL,
    txid xid8 NOT NULL,
    version bigint NOT NULL,
    prunings integer DEFAULT 1 NOT NULL,
    CONSTRAINT log_horizon_id_check CHECK (id)
);
CREATE UNLOGGED TABLE public.rate_limits (
    "window" bigint NOT NULL,
    subject text NOT NULL COLLATE pg_catalog."C",
    taken bigint NOT NULL
);
CREATE TABLE public.reconciliation_differences (
    id bigint NOT NULL,
    run bigint NOT NULL,
    email text NOT NULL COLLATE pg_catalog."C",
    cause text NOT NULL,
    state text DEFAULT 'confirmed'::text NOT NULL,
    version_in_db1 bigint,
    version_in_db2 bigint,
    found_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
ALTER TABLE public.reconciliation_differences ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.reconciliation_differences_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.reconciliation_runs (
    id bigint NOT NULL,
    reason text NOT NULL,
    evidence jsonb NOT NULL,
    repair boolean NOT NULL,
    at_most bigint,
    outcome text,
    "position" text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    compared bigint DEFAULT 0 NOT NULL,
    differing bigint DEFAULT 0 NOT NULL,
    repaired bigint DEFAULT 0 NOT NULL,
    runner uuid,
    lease_until timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    kind text DEFAULT 'compare'::text NOT NULL,
    scope text DEFAULT 'all'::text NOT NULL,
    after_email text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    until_email text COLLATE pg_catalog."C",
    load smallint DEFAULT 100 NOT NULL,
    rate integer,
    snapshot pg_snapshot DEFAULT pg_current_snapshot() NOT NULL,
    since pg_snapshot,
    in_flight bigint DEFAULT 0 NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    cancel_requested boolean DEFAULT false NOT NULL
);
ALTER TABLE public.reconciliation_runs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.reconciliation_runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.subscription_changes (
    version bigint NOT NULL,
    operation text NOT NULL,
    email text NOT NULL COLLATE pg_catalog."C",
    event text NOT NULL,
    actor text NOT NULL,
    reason text,
    origin text NOT NULL,
    application_name text,
    traceparent text,
    occurred_at timestamp with time zone NOT NULL,
    txid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    forbidden boolean DEFAULT false NOT NULL
)
PARTITION BY RANGE (occurred_at);
CREATE TABLE public.subscription_changes_2026_09 (
    version bigint NOT NULL,
    operation text NOT NULL,
    email text NOT NULL COLLATE pg_catalog."C",
    event text NOT NULL,
    actor text NOT NULL,
    reason text,
    origin text NOT NULL,
    application_name text,
    traceparent text,
    occurred_at timestamp with time zone NOT NULL,
    txid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    forbidden boolean DEFAULT false NOT NULL
);
CREATE TABLE public.subscription_changes_2026_11 (
    version bigint NOT NULL,
    operation text NOT NULL,
    email text NOT NULL COLLATE pg_catalog."C",
    event text NOT NULL,
    actor text NOT NULL,
    reason text,
    origin text NOT NULL,
    application_name text,
    traceparent text,
    occurred_at timestamp with time zone NOT NULL,
    txid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    forbidden boolean DEFAULT false NOT NULL
);
CREATE TABLE public.subscription_changes_2026_12 (
    version bigint NOT NULL,
    operation text NOT NULL,
    email text NOT NULL COLLATE pg_catalog."C",
    event text NOT NULL,
    actor text NOT NULL,
    reason text,
    origin text NOT NULL,
    application_name text,
    traceparent text,
    occurred_at timestamp with time zone NOT NULL,
    txid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    forbidden boolean DEFAULT false NOT NULL
);
CREATE TABLE public.subscription_changes_2027_01 (
    version bigint NOT NULL,
    operation text NOT NULL,
    email text NOT NULL COLLATE pg_catalog."C",
    event text NOT NULL,
    actor text NOT NULL,
    reason text,
    origin text NOT NULL,
    application_name text,
    traceparent text,
    occurred_at timestamp with time zone NOT NULL,
    txid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    forbidden boolean DEFAULT false NOT NULL
);
CREATE TABLE public.subscription_changes_default (
    version bigint NOT NULL,
    operation text NOT NULL,
    email text NOT NULL COLLATE pg_catalog."C",
    event text NOT NULL,
    actor text NOT NULL,
    reason text,
    origin text NOT NULL,
    application_name text,
    traceparent text,
    occurred_at timestamp with time zone NOT NULL,
    txid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    forbidden boolean DEFAULT false NOT NULL
);
CREATE TABLE public.subscription_sync_migrations (
    id integer NOT NULL,
    "timestamp" bigint NOT NULL,
    name character varying NOT NULL
);
CREATE SEQUENCE public.subscription_sync_migrations_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.subscription_sync_migrations_id_seq OWNED BY public.subscription_sync_migrations.id;
CREATE SEQUENCE public.subscription_version
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE public.sync_checkpoint (
    id boolean DEFAULT true NOT NULL,
    published_snapshot pg_snapshot NOT NULL,
    published_lsn pg_lsn,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT sync_checkpoint_id_check CHECK (id)
);
CREATE TABLE public.unpublishable_changes (
    version bigint NOT NULL,
    email text NOT NULL COLLATE pg_catalog."C",
    bytes integer NOT NULL,
    error text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
ALTER TABLE ONLY public.subscription_changes ATTACH PARTITION public.subscription_changes_2026_09 FOR VALUES FROM ('2026-09-01 00:00:00+00') TO ('2026-10-01 00:00:00+00');
ALTER TABLE ONLY public.subscription_changes ATTACH PARTITION public.subscription_changes_2026_11 FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00');
ALTER TABLE ONLY public.subscription_changes ATTACH PARTITION public.subscription_changes_2026_12 FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00');
ALTER TABLE ONLY public.subscription_changes ATTACH PARTITION public.subscription_changes_2027_01 FOR VALUES FROM ('2027-01-01 00:00:00+00') TO ('2027-02-01 00:00:00+00');
ALTER TABLE ONLY public.subscription_changes ATTACH PARTITION public.subscription_changes_default DEFAULT;
ALTER TABLE ONLY public.subscription_sync_migrations ALTER COLUMN id SET DEFAULT nextval('public.subscription_sync_migrations_id_seq'::regclass);
INSERT INTO public.api_keys VALUES
	('ea70d09e66d91fe6', 'reader', '\x5057d9dbdfe1048c8bd601b6b2deb94ce08326676a04fa0d7dc4cb51d7f1550e', '{read}', '2026-11-29 21:14:35.243535+00', 'npm run access', NULL, NULL, NULL, NULL);
INSERT INTO public.idempotency_keys VALUES
	('api', 'first-try', '2dyzqOkeGomCvz7wv0HbFdSZLOfb3DlR57tPw9BNkTQ', 'created', 20, '{"email":"keyed@example.com","status":"active","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":20,"created_at":"2026-11-29T21:14:28.875038+00:00","updated_at":"2026-11-29T21:14:28.876434+00:00"}', '2026-11-29 21:14:28.888657+00');
INSERT INTO public.imports VALUES
	('bac03b65-0199-4b71-b777-36ddde197b70', 'finished', false, 3, 3, 0, 0, 0, 0, '[]', NULL, '2026-11-29 21:14:28.925696+00', '2026-11-29 21:14:29.006968+00', '2026-11-29 21:14:29.006968+00');
INSERT INTO public.log_horizon VALUES
	(true, '1076', 19, 1);
INSERT INTO public.reconciliation_runs OVERRIDING SYSTEM VALUE VALUES
	(1, 'requested', '{"sequence": 0, "partitions": []}', true, NULL, 'equal', 'renamed7@example.com', 16, 0, 0, '72a95a12-f4e0-4a5b-9257-53c292ae1c02', '2026-11-29 21:14:51.177979+00', '2026-11-29 21:14:36.02476+00', '2026-11-29 21:14:36.185508+00', 'compare', 'all', '', NULL, 100, NULL, '1097:1097:', NULL, 0, false, false);
INSERT INTO public.subscription_changes_2026_09 VALUES
	(2, 'created', 'person2@example.com', '{"specversion":"1.0","id":"2","source":"/subscription-sync/db1","type":"subscription.created","subject":"person2@example.com","time":"2026-11-29T21:14:27.0232+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person2@example.com","status":"active","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{"n": 2, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":2,"created_at":"2026-11-29T21:14:27.022346+00:00","updated_at":"2026-11-29T21:14:27.0232+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-09-30 21:14:27.0232+00', '1040', false),
	(3, 'created', 'person3@example.com', '{"specversion":"1.0","id":"3","source":"/subscription-sync/db1","type":"subscription.created","subject":"person3@example.com","time":"2026-11-29T21:14:27.134023+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person3@example.com","status":"pending","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 3, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":3,"created_at":"2026-11-29T21:14:27.09286+00:00","updated_at":"2026-11-29T21:14:27.134023+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-09-30 21:14:27.134023+00', '1041', false);
INSERT INTO public.subscription_changes_2026_11 VALUES
	(1, 'created', 'person1@example.com', '{"specversion":"1.0","id":"1","source":"/subscription-sync/db1","type":"subscription.created","subject":"person1@example.com","time":"2026-11-29T21:14:26.956649+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person1@example.com","status":"active","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 1, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":1,"created_at":"2026-11-29T21:14:26.922278+00:00","updated_at":"2026-11-29T21:14:26.956649+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:26.956649+00', '1039', false),
	(4, 'created', 'person4@example.com', '{"specversion":"1.0","id":"4","source":"/subscription-sync/db1","type":"subscription.created","subject":"person4@example.com","time":"2026-11-29T21:14:27.257601+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person4@example.com","status":"active","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{"n": 4, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":4,"created_at":"2026-11-29T21:14:27.256647+00:00","updated_at":"2026-11-29T21:14:27.257601+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:27.257601+00', '1042', false),
	(5, 'created', 'person5@example.com', '{"specversion":"1.0","id":"5","source":"/subscription-sync/db1","type":"subscription.created","subject":"person5@example.com","time":"2026-11-29T21:14:27.54449+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person5@example.com","status":"active","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 5, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":5,"created_at":"2026-11-29T21:14:27.543575+00:00","updated_at":"2026-11-29T21:14:27.54449+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:27.54449+00', '1045', false),
	(6, 'created', 'person6@example.com', '{"specversion":"1.0","id":"6","source":"/subscription-sync/db1","type":"subscription.created","subject":"person6@example.com","time":"2026-11-29T21:14:27.827671+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person6@example.com","status":"pending","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{"n": 6, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":6,"created_at":"2026-11-29T21:14:27.826427+00:00","updated_at":"2026-11-29T21:14:27.827671+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:27.827671+00', '1046', false),
	(7, 'created', 'person7@example.com', '{"specversion":"1.0","id":"7","source":"/subscription-sync/db1","type":"subscription.created","subject":"person7@example.com","time":"2026-11-29T21:14:27.86781+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person7@example.com","status":"active","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 7, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":7,"created_at":"2026-11-29T21:14:27.866666+00:00","updated_at":"2026-11-29T21:14:27.86781+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:27.86781+00', '1047', false),
	(8, 'created', 'person8@example.com', '{"specversion":"1.0","id":"8","source":"/subscription-sync/db1","type":"subscription.created","subject":"person8@example.com","time":"2026-11-29T21:14:27.894006+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person8@example.com","status":"active","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{"n": 8, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":8,"created_at":"2026-11-29T21:14:27.892922+00:00","updated_at":"2026-11-29T21:14:27.894006+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:27.894006+00', '1048', false),
	(9, 'created', 'person9@example.com', '{"specversion":"1.0","id":"9","source":"/subscription-sync/db1","type":"subscription.created","subject":"person9@example.com","time":"2026-11-29T21:14:28.009413+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person9@example.com","status":"pending","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 9, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":9,"created_at":"2026-11-29T21:14:28.008884+00:00","updated_at":"2026-11-29T21:14:28.009413+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.009413+00', '1053', false),
	(10, 'created', 'person10@example.com', '{"specversion":"1.0","id":"10","source":"/subscription-sync/db1","type":"subscription.created","subject":"person10@example.com","time":"2026-11-29T21:14:28.107538+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person10@example.com","status":"active","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{"n": 10, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":10,"created_at":"2026-11-29T21:14:28.107007+00:00","updated_at":"2026-11-29T21:14:28.107538+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.107538+00', '1056', false),
	(11, 'created', 'person11@example.com', '{"specversion":"1.0","id":"11","source":"/subscription-sync/db1","type":"subscription.created","subject":"person11@example.com","time":"2026-11-29T21:14:28.165506+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person11@example.com","status":"active","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 11, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":11,"created_at":"2026-11-29T21:14:28.164989+00:00","updated_at":"2026-11-29T21:14:28.165506+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.165506+00', '1059', false),
	(12, 'created', 'person12@example.com', '{"specversion":"1.0","id":"12","source":"/subscription-sync/db1","type":"subscription.created","subject":"person12@example.com","time":"2026-11-29T21:14:28.219904+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person12@example.com","status":"pending","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{"n": 12, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":12,"created_at":"2026-11-29T21:14:28.219437+00:00","updated_at":"2026-11-29T21:14:28.219904+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.219904+00', '1062', false),
	(13, 'updated', 'person1@example.com', '{"specversion":"1.0","id":"13","source":"/subscription-sync/db1","type":"subscription.updated","subject":"person1@example.com","time":"2026-11-29T21:14:28.310154+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person1@example.com","status":"canceled","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 1, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":13,"created_at":"2026-11-29T21:14:26.922278+00:00","updated_at":"2026-11-29T21:14:28.310154+00:00"},"previous":{"status":"active"},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.310154+00', '1063', false),
	(14, 'updated', 'person2@example.com', '{"specversion":"1.0","id":"14","source":"/subscription-sync/db1","type":"subscription.updated","subject":"person2@example.com","time":"2026-11-29T21:14:28.35051+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person2@example.com","status":"canceled","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{"n": 2, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":14,"created_at":"2026-11-29T21:14:27.022346+00:00","updated_at":"2026-11-29T21:14:28.35051+00:00"},"previous":{"status":"active"},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.35051+00', '1064', false),
	(15, 'updated', 'person3@example.com', '{"specversion":"1.0","id":"15","source":"/subscription-sync/db1","type":"subscription.updated","subject":"person3@example.com","time":"2026-11-29T21:14:28.437377+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person3@example.com","status":"canceled","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 3, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":15,"created_at":"2026-11-29T21:14:27.09286+00:00","updated_at":"2026-11-29T21:14:28.437377+00:00"},"previous":{"status":"pending"},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.437377+00', '1066', false),
	(16, 'updated', 'person4@example.com', '{"specversion":"1.0","id":"16","source":"/subscription-sync/db1","type":"subscription.updated","subject":"person4@example.com","time":"2026-11-29T21:14:28.570884+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person4@example.com","status":"canceled","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{"n": 4, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":16,"created_at":"2026-11-29T21:14:27.256647+00:00","updated_at":"2026-11-29T21:14:28.570884+00:00"},"previous":{"status":"active"},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.570884+00', '1070', false),
	(17, 'deleted', 'person5@example.com', '{"specversion":"1.0","id":"17","source":"/subscription-sync/db1","type":"subscription.deleted","subject":"person5@example.com","time":"2026-11-29T21:14:28.696017+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person5@example.com","status":"active","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 5, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":17,"created_at":"2026-11-29T21:14:27.543575+00:00","updated_at":"2026-11-29T21:14:28.696017+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.696017+00', '1073', false),
	(18, 'deleted', 'person6@example.com', '{"specversion":"1.0","id":"18","source":"/subscription-sync/db1","type":"subscription.deleted","subject":"person6@example.com","time":"2026-11-29T21:14:28.742384+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person6@example.com","status":"pending","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{"n": 6, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":18,"created_at":"2026-11-29T21:14:27.826427+00:00","updated_at":"2026-11-29T21:14:28.742384+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.742384+00', '1074', false),
	(20, 'created', 'keyed@example.com', '{"specversion":"1.0","id":"20","source":"/subscription-sync/db1","type":"subscription.created","subject":"keyed@example.com","time":"2026-11-29T21:14:28.876434+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"keyed@example.com","status":"active","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":20,"created_at":"2026-11-29T21:14:28.875038+00:00","updated_at":"2026-11-29T21:14:28.876434+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.876434+00', '1078', false),
	(21, 'created', 'imported1@example.com', '{"specversion":"1.0","id":"21","source":"/subscription-sync/db1","type":"subscription.created","subject":"imported1@example.com","time":"2026-11-29T21:14:28.956695+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"imported1@example.com","status":"active","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":21,"created_at":"2026-11-29T21:14:28.954+00:00","updated_at":"2026-11-29T21:14:28.956695+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.956695+00', '1082', false),
	(22, 'created', 'imported2@example.com', '{"specversion":"1.0","id":"22","source":"/subscription-sync/db1","type":"subscription.created","subject":"imported2@example.com","time":"2026-11-29T21:14:28.956771+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"imported2@example.com","status":"active","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":22,"created_at":"2026-11-29T21:14:28.954+00:00","updated_at":"2026-11-29T21:14:28.956771+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.956771+00', '1082', false),
	(23, 'created', 'imported3@example.com', '{"specversion":"1.0","id":"23","source":"/subscription-sync/db1","type":"subscription.created","subject":"imported3@example.com","time":"2026-11-29T21:14:28.961515+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"imported3@example.com","status":"active","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":23,"created_at":"2026-11-29T21:14:28.954+00:00","updated_at":"2026-11-29T21:14:28.961515+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:14:28.961515+00', '1082', false),
	(24, 'updated', 'person1@example.com', '{"specversion":"1.0","id":"24","source":"/subscription-sync/db1","type":"subscription.updated","subject":"person1@example.com","time":"2026-11-29T21:14:29.096624+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person1@example.com","status":"active","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 1, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":24,"created_at":"2026-11-29T21:14:26.922278+00:00","updated_at":"2026-11-29T21:14:29.096624+00:00"},"previous":{"status":"canceled"},"actor":"billing","reason":"chargeback","origin":"sql"}}', 'billing', 'chargeback', 'sql', NULL, NULL, '2026-11-29 21:14:29.096624+00', '1087', true),
	(26, 'deleted', 'person7@example.com', '{"specversion":"1.0","id":"26","source":"/subscription-sync/db1","type":"subscription.deleted","subject":"person7@example.com","time":"2026-11-29T21:14:29.141653+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person7@example.com","status":"active","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 7, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":26,"created_at":"2026-11-29T21:14:27.866666+00:00","updated_at":"2026-11-29T21:14:29.141653+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', NULL, NULL, '2026-11-29 21:14:29.141653+00', '1088', false),
	(25, 'created', 'renamed7@example.com', '{"specversion":"1.0","id":"25","source":"/subscription-sync/db1","type":"subscription.created","subject":"renamed7@example.com","time":"2026-11-29T21:14:29.141653+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"renamed7@example.com","status":"active","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 7, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":25,"created_at":"2026-11-29T21:14:27.866666+00:00","updated_at":"2026-11-29T21:14:29.141653+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', NULL, NULL, '2026-11-29 21:14:29.141653+00', '1088', false),
	(27, 'created', 'person5@example.com', '{"specversion":"1.0","id":"27","source":"/subscription-sync/db1","type":"subscription.created","subject":"person5@example.com","time":"2026-11-29T21:14:29.153386+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person5@example.com","status":"trialing","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":27,"created_at":"2026-11-29T21:14:29.152528+00:00","updated_at":"2026-11-29T21:14:29.153386+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', NULL, NULL, '2026-11-29 21:14:29.153386+00', '1089', false),
	(28, 'updated', 'person8@example.com', '{"specversion":"1.0","id":"28","source":"/subscription-sync/db1","type":"subscription.updated","subject":"person8@example.com","time":"2026-11-29T21:15:05.669887+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person8@example.com","status":"paused","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{"n": 8, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":28,"created_at":"2026-11-29T21:14:27.892922+00:00","updated_at":"2026-11-29T21:15:05.669887+00:00"},"previous":{"status":"active"},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:15:05.669887+00', '1104', false),
	(29, 'deleted', 'person9@example.com', '{"specversion":"1.0","id":"29","source":"/subscription-sync/db1","type":"subscription.deleted","subject":"person9@example.com","time":"2026-11-29T21:15:05.754206+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person9@example.com","status":"pending","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 9, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":29,"created_at":"2026-11-29T21:14:28.008884+00:00","updated_at":"2026-11-29T21:15:05.754206+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:15:05.754206+00', '1105', false),
	(30, 'created', 'late@example.com', '{"specversion":"1.0","id":"30","source":"/subscription-sync/db1","type":"subscription.created","subject":"late@example.com","time":"2026-11-29T21:15:05.804604+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"late@example.com","status":"active","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":30,"created_at":"2026-11-29T21:15:05.798419+00:00","updated_at":"2026-11-29T21:15:05.804604+00:00"},"previous":{},"actor":"api","reason":null,"origin":"api"}}', 'api', NULL, 'api', 'subscription-sync', NULL, '2026-11-29 21:15:05.804604+00', '1106', false),
	(31, 'updated', 'person10@example.com', '{"specversion":"1.0","id":"31","source":"/subscription-sync/db1","type":"subscription.updated","subject":"person10@example.com","time":"2026-11-29T21:15:10.429357+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person10@example.com","status":"active","plan":"gold","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 10, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":31,"created_at":"2026-11-29T21:14:28.107007+00:00","updated_at":"2026-11-29T21:15:10.429357+00:00"},"previous":{"plan":null},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', NULL, NULL, '2026-11-29 21:15:10.429357+00', '1115', false),
	(32, 'created', 'unpublished@example.com', '{"specversion":"1.0","id":"32","source":"/subscription-sync/db1","type":"subscription.created","subject":"unpublished@example.com","time":"2026-11-29T21:15:10.433439+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"unpublished@example.com","status":"pending","plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":32,"created_at":"2026-11-29T21:15:10.433159+00:00","updated_at":"2026-11-29T21:15:10.433439+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', NULL, NULL, '2026-11-29 21:15:10.433439+00', '1116', false),
	(33, 'deleted', 'person11@example.com', '{"specversion":"1.0","id":"33","source":"/subscription-sync/db1","type":"subscription.deleted","subject":"person11@example.com","time":"2026-11-29T21:15:10.437466+00:00","datacontenttype":"application/json","data":{"subscription":{"email":"person11@example.com","status":"active","plan":"pro","access_until":null,"cancel_at_period_end":false,"metadata":{"n": 11, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7},"version":33,"created_at":"2026-11-29T21:14:28.164989+00:00","updated_at":"2026-11-29T21:15:10.437466+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', NULL, NULL, '2026-11-29 21:15:10.437466+00', '1117', false);
INSERT INTO public.subscription_sync_migrations VALUES
	(1, 1763900000000, 'CreateChangeLog1763900000000'),
	(2, 1764000000000, 'KeepUnpublishable1764000000000'),
	(3, 1764100000000, 'Reconcile1764100000000'),
	(4, 1764200000000, 'ConditionalWrites1764200000000'),
	(5, 1764300000000, 'Access1764300000000'),
	(6, 1764400000000, 'FeedAndImports1764400000000'),
	(7, 1764500000000, 'SteerRuns1764500000000'),
	(8, 1764550000000, 'ImportsObeyTheLifecycle1764550000000');
INSERT INTO public.subscriptions VALUES
	('person12@example.com', 'pending', NULL, NULL, false, '{"n": 12, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 12, '2026-11-29 21:14:28.219437+00', '2026-11-29 21:14:28.219904+00'),
	('person2@example.com', 'canceled', NULL, NULL, false, '{"n": 2, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 14, '2026-11-29 21:14:27.022346+00', '2026-11-29 21:14:28.35051+00'),
	('person3@example.com', 'canceled', 'pro', NULL, false, '{"n": 3, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 15, '2026-11-29 21:14:27.09286+00', '2026-11-29 21:14:28.437377+00'),
	('person4@example.com', 'canceled', NULL, NULL, false, '{"n": 4, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 16, '2026-11-29 21:14:27.256647+00', '2026-11-29 21:14:28.570884+00'),
	('pruned@example.com', 'active', NULL, NULL, false, '{}', 19, '2026-11-29 21:14:28.807268+00', '2026-11-29 21:14:28.807788+00'),
	('keyed@example.com', 'active', NULL, NULL, false, '{}', 20, '2026-11-29 21:14:28.875038+00', '2026-11-29 21:14:28.876434+00'),
	('imported1@example.com', 'active', NULL, NULL, false, '{}', 21, '2026-11-29 21:14:28.954+00', '2026-11-29 21:14:28.956695+00'),
	('imported2@example.com', 'active', NULL, NULL, false, '{}', 22, '2026-11-29 21:14:28.954+00', '2026-11-29 21:14:28.956771+00'),
	('imported3@example.com', 'active', NULL, NULL, false, '{}', 23, '2026-11-29 21:14:28.954+00', '2026-11-29 21:14:28.961515+00'),
	('person1@example.com', 'active', 'pro', NULL, false, '{"n": 1, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 24, '2026-11-29 21:14:26.922278+00', '2026-11-29 21:14:29.096624+00'),
	('renamed7@example.com', 'active', 'pro', NULL, false, '{"n": 7, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 25, '2026-11-29 21:14:27.866666+00', '2026-11-29 21:14:29.141653+00'),
	('person5@example.com', 'trialing', NULL, NULL, false, '{}', 27, '2026-11-29 21:14:29.152528+00', '2026-11-29 21:14:29.153386+00'),
	('person8@example.com', 'paused', NULL, NULL, false, '{"n": 8, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 28, '2026-11-29 21:14:27.892922+00', '2026-11-29 21:15:05.669887+00'),
	('late@example.com', 'active', NULL, NULL, false, '{}', 30, '2026-11-29 21:15:05.798419+00', '2026-11-29 21:15:05.804604+00'),
	('person10@example.com', 'active', 'gold', NULL, false, '{"n": 10, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 31, '2026-11-29 21:14:28.107007+00', '2026-11-29 21:15:10.429357+00'),
	('unpublished@example.com', 'pending', NULL, NULL, false, '{}', 32, '2026-11-29 21:15:10.433159+00', '2026-11-29 21:15:10.433439+00');
INSERT INTO public.sync_checkpoint VALUES
	(true, '1110:1110:', '0/4487EC8', '2026-11-29 21:15:09.444333+00');
SELECT pg_catalog.setval('public.reconciliation_differences_id_seq', 1, false);
SELECT pg_catalog.setval('public.reconciliation_runs_id_seq', 1, true);
SELECT pg_catalog.setval('public.subscription_sync_migrations_id_seq', 8, true);
SELECT pg_catalog.setval('public.subscription_version', 33, true);
ALTER TABLE ONLY public.subscription_sync_migrations
    ADD CONSTRAINT "PK_d6a837db1fc87e8b6f7f3a389e5" PRIMARY KEY (id);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (principal, key);
ALTER TABLE ONLY public.imports
    ADD CONSTRAINT imports_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.log_horizon
    ADD CONSTRAINT log_horizon_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rate_limits
    ADD CONSTRAINT rate_limits_pkey PRIMARY KEY ("window", subject);
ALTER TABLE ONLY public.reconciliation_differences
    ADD CONSTRAINT reconciliation_differences_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.reconciliation_differences
    ADD CONSTRAINT reconciliation_differences_run_email_key UNIQUE (run, email);
ALTER TABLE ONLY public.reconciliation_runs
    ADD CONSTRAINT reconciliation_runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.subscription_changes
    ADD CONSTRAINT subscription_changes_pkey PRIMARY KEY (version, occurred_at);
ALTER TABLE ONLY public.subscription_changes_2026_09
    ADD CONSTRAINT subscription_changes_2026_09_pkey PRIMARY KEY (version, occurred_at);
ALTER TABLE ONLY public.subscription_changes_2026_11
    ADD CONSTRAINT subscription_changes_2026_11_pkey PRIMARY KEY (version, occurred_at);
ALTER TABLE ONLY public.subscription_changes_2026_12
    ADD CONSTRAINT subscription_changes_2026_12_pkey PRIMARY KEY (version, occurred_at);
ALTER TABLE ONLY public.subscription_changes_2027_01
    ADD CONSTRAINT subscription_changes_2027_01_pkey PRIMARY KEY (version, occurred_at);
ALTER TABLE ONLY public.subscription_changes_default
    ADD CONSTRAINT subscription_changes_default_pkey PRIMARY KEY (version, occurred_at);
ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_pkey PRIMARY KEY (email);
ALTER TABLE ONLY public.sync_checkpoint
    ADD CONSTRAINT sync_checkpoint_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.unpublishable_changes
    ADD CONSTRAINT unpublishable_changes_pkey PRIMARY KEY (version);
CREATE INDEX idempotency_keys_created_at ON public.idempotency_keys USING btree (created_at);
CREATE INDEX imports_started_at ON public.imports USING btree (started_at);
CREATE INDEX reconciliation_differences_run ON public.reconciliation_differences USING btree (run, id);
CREATE UNIQUE INDEX reconciliation_runs_unfinished ON public.reconciliation_runs USING btree ((true)) WHERE ((finished_at IS NULL) AND (NOT paused));
CREATE INDEX subscription_changes_email ON ONLY public.subscription_changes USING btree (email, version);
CREATE INDEX subscription_changes_2026_09_email_version_idx ON public.subscription_changes_2026_09 USING btree (email, version);
CREATE INDEX subscription_changes_txid ON ONLY public.subscription_changes USING btree (txid, version);
CREATE INDEX subscription_changes_2026_09_txid_version_idx ON public.subscription_changes_2026_09 USING btree (txid, version);
CREATE INDEX subscription_changes_2026_11_email_version_idx ON public.subscription_changes_2026_11 USING btree (email, version);
CREATE INDEX subscription_changes_2026_11_txid_version_idx ON public.subscription_changes_2026_11 USING btree (txid, version);
CREATE INDEX subscription_changes_2026_12_email_version_idx ON public.subscription_changes_2026_12 USING btree (email, version);
CREATE INDEX subscription_changes_2026_12_txid_version_idx ON public.subscription_changes_2026_12 USING btree (txid, version);
CREATE INDEX subscription_changes_2027_01_email_version_idx ON public.subscription_changes_2027_01 USING btree (email, version);
CREATE INDEX subscription_changes_2027_01_txid_version_idx ON public.subscription_changes_2027_01 USING btree (txid, version);
CREATE INDEX subscription_changes_default_email_version_idx ON public.subscription_changes_default USING btree (email, version);
CREATE INDEX subscription_changes_default_txid_version_idx ON public.subscription_changes_default USING btree (txid, version);
CREATE INDEX subscriptions_by_status ON public.subscriptions USING btree (status, email);
CREATE INDEX subscriptions_by_updated_at ON public.subscriptions USING btree (updated_at, email);
CREATE INDEX subscriptions_by_version ON public.subscriptions USING btree (version, email);
ALTER INDEX public.subscription_changes_email ATTACH PARTITION public.subscription_changes_2026_09_email_version_idx;
ALTER INDEX public.subscription_changes_pkey ATTACH PARTITION public.subscription_changes_2026_09_pkey;
ALTER INDEX public.subscription_changes_txid ATTACH PARTITION public.subscription_changes_2026_09_txid_version_idx;
ALTER INDEX public.subscription_changes_email ATTACH PARTITION public.subscription_changes_2026_11_email_version_idx;
ALTER INDEX public.subscription_changes_pkey ATTACH PARTITION public.subscription_changes_2026_11_pkey;
ALTER INDEX public.subscription_changes_txid ATTACH PARTITION public.subscription_changes_2026_11_txid_version_idx;
ALTER INDEX public.subscription_changes_email ATTACH PARTITION public.subscription_changes_2026_12_email_version_idx;
ALTER INDEX public.subscription_changes_pkey ATTACH PARTITION public.subscription_changes_2026_12_pkey;
ALTER INDEX public.subscription_changes_txid ATTACH PARTITION public.subscription_changes_2026_12_txid_version_idx;
ALTER INDEX public.subscription_changes_email ATTACH PARTITION public.subscription_changes_2027_01_email_version_idx;
ALTER INDEX public.subscription_changes_pkey ATTACH PARTITION public.subscription_changes_2027_01_pkey;
ALTER INDEX public.subscription_changes_txid ATTACH PARTITION public.subscription_changes_2027_01_txid_version_idx;
ALTER INDEX public.subscription_changes_email ATTACH PARTITION public.subscription_changes_default_email_version_idx;
ALTER INDEX public.subscription_changes_pkey ATTACH PARTITION public.subscription_changes_default_pkey;
ALTER INDEX public.subscription_changes_txid ATTACH PARTITION public.subscription_changes_default_txid_version_idx;
CREATE TRIGGER aa_subscription_sync_insert AFTER INSERT OR DELETE ON public.subscriptions FOR EACH ROW EXECUTE FUNCTION public.subscription_log_change();
CREATE TRIGGER aa_subscription_sync_truncate BEFORE TRUNCATE ON public.subscriptions FOR EACH STATEMENT EXECUTE FUNCTION public.subscription_refuse_truncate();
CREATE TRIGGER aa_subscription_sync_update AFTER UPDATE ON public.subscriptions FOR EACH ROW WHEN ((old.version <> new.version)) EXECUTE FUNCTION public.subscription_log_change();
CREATE TRIGGER zz_subscription_sync_insert BEFORE INSERT ON public.subscriptions FOR EACH ROW EXECUTE FUNCTION public.subscription_draw_version();
CREATE TRIGGER zz_subscription_sync_update BEFORE UPDATE ON public.subscriptions FOR EACH ROW WHEN (((old.version = 0) OR (old.* *<> new.*))) EXECUTE FUNCTION public.subscription_draw_version();
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_replaced_by_fkey FOREIGN KEY (replaced_by) REFERENCES public.api_keys(id);
ALTER TABLE ONLY public.reconciliation_differences
    ADD CONSTRAINT reconciliation_differences_run_fkey FOREIGN KEY (run) REFERENCES public.reconciliation_runs(id) ON DELETE CASCADE;
CREATE PUBLICATION subscription_sync WITH (publish = 'insert', publish_via_partition_root = true);
ALTER PUBLICATION subscription_sync ADD TABLE ONLY public.subscription_changes;
REVOKE ALL ON FUNCTION public.subscription_append_change(operation text, image public.subscriptions, previous text, forbidden boolean) FROM PUBLIC;
