CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;
COMMENT ON EXTENSION citext IS 'data type for case-insensitive character strings';
CREATE TABLE public.subscriptions (
    id integer NOT NULL,
    email public.citext NOT NULL,
    status character varying(20) DEFAULT 'active'::character varying NOT NULL,
    name text NOT NULL,
    price numeric(12,4),
    tags text[],
    profile json,
    plan text,
    access_until timestamp with time zone,
    cancel_at_period_end boolean DEFAULT false NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    version bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
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
        CASE WHEN NEW."id" IS DISTINCT FROM OLD."id" THEN concat(',"id":', coalesce(to_json(OLD."id"), 'null')) END,
        CASE WHEN NEW."status" IS DISTINCT FROM OLD."status" THEN concat(',"status":', coalesce(to_json(OLD."status"), 'null')) END,
        CASE WHEN NEW."name" IS DISTINCT FROM OLD."name" THEN concat(',"name":', coalesce(to_json(OLD."name"), 'null')) END,
        CASE WHEN NEW."price" IS DISTINCT FROM OLD."price" THEN concat(',"price":', coalesce(to_json(OLD."price"), 'null')) END,
        CASE WHEN NEW."tags" IS DISTINCT FROM OLD."tags" THEN concat(',"tags":', coalesce(to_json(OLD."tags"), 'null')) END,
        CASE WHEN NEW."profile"::text IS DISTINCT FROM OLD."profile"::text THEN concat(',"profile":', coalesce(to_json(OLD."profile"), 'null')) END,
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
CREATE SEQUENCE public.subscriptions_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.subscriptions_id_seq OWNED BY public.subscriptions.id;
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
ALTER TABLE ONLY public.subscription_changes ATTACH PARTITION public.subscription_changes_2026_11 FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00');
ALTER TABLE ONLY public.subscription_changes ATTACH PARTITION public.subscription_changes_2026_12 FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00');
ALTER TABLE ONLY public.subscription_changes ATTACH PARTITION public.subscription_changes_2027_01 FOR VALUES FROM ('2027-01-01 00:00:00+00') TO ('2027-02-01 00:00:00+00');
ALTER TABLE ONLY public.subscription_changes ATTACH PARTITION public.subscription_changes_default DEFAULT;
ALTER TABLE ONLY public.subscription_sync_migrations ALTER COLUMN id SET DEFAULT nextval('public.subscription_sync_migrations_id_seq'::regclass);
ALTER TABLE ONLY public.subscriptions ALTER COLUMN id SET DEFAULT nextval('public.subscriptions_id_seq'::regclass);
INSERT INTO public.reconciliation_runs OVERRIDING SYSTEM VALUE VALUES
	(1, 'requested', '{"sequence": 0, "partitions": []}', true, NULL, 'equal', 'person7@example.com', 8, 0, 0, '8041cd7d-f9fe-4252-a8b1-ee4260bf2164', '2026-11-29 21:16:01.066565+00', '2026-11-29 21:15:45.931689+00', '2026-11-29 21:15:46.070269+00', 'compare', 'all', '', NULL, 100, NULL, '1157:1157:', NULL, 0, false, false);
INSERT INTO public.subscription_changes_2026_11 VALUES
	(1, 'created', 'person1@example.com', '{"specversion":"1.0","id":"1","source":"/subscription-sync/db1","type":"subscription.created","subject":"person1@example.com","time":"2026-11-29T21:15:42.074369+00:00","datacontenttype":"application/json","data":{"subscription":{"id":1,"email":"person1@example.com","status":"active","name":"Person 1","price":1.5000,"tags":["a","b"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":1,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:15:42.074369+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', 'subscription-sync', NULL, '2026-11-29 21:15:42.074369+00', '1140', false),
	(2, 'created', 'person2@example.com', '{"specversion":"1.0","id":"2","source":"/subscription-sync/db1","type":"subscription.created","subject":"person2@example.com","time":"2026-11-29T21:15:42.074568+00:00","datacontenttype":"application/json","data":{"subscription":{"id":2,"email":"person2@example.com","status":"active","name":"Person 2","price":3.0000,"tags":["a","b"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":2,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:15:42.074568+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', 'subscription-sync', NULL, '2026-11-29 21:15:42.074568+00', '1140', false),
	(3, 'created', 'person3@example.com', '{"specversion":"1.0","id":"3","source":"/subscription-sync/db1","type":"subscription.created","subject":"person3@example.com","time":"2026-11-29T21:15:42.074624+00:00","datacontenttype":"application/json","data":{"subscription":{"id":3,"email":"person3@example.com","status":"active","name":"Person 3","price":4.5000,"tags":["a","b"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":3,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:15:42.074624+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', 'subscription-sync', NULL, '2026-11-29 21:15:42.074624+00', '1140', false),
	(4, 'created', 'person4@example.com', '{"specversion":"1.0","id":"4","source":"/subscription-sync/db1","type":"subscription.created","subject":"person4@example.com","time":"2026-11-29T21:15:42.074663+00:00","datacontenttype":"application/json","data":{"subscription":{"id":4,"email":"person4@example.com","status":"active","name":"Person 4","price":6.0000,"tags":["a","b"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":4,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:15:42.074663+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', 'subscription-sync', NULL, '2026-11-29 21:15:42.074663+00', '1140', false),
	(5, 'created', 'person5@example.com', '{"specversion":"1.0","id":"5","source":"/subscription-sync/db1","type":"subscription.created","subject":"person5@example.com","time":"2026-11-29T21:15:42.074706+00:00","datacontenttype":"application/json","data":{"subscription":{"id":5,"email":"person5@example.com","status":"active","name":"Person 5","price":7.5000,"tags":["a","b"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":5,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:15:42.074706+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', 'subscription-sync', NULL, '2026-11-29 21:15:42.074706+00', '1140', false),
	(6, 'created', 'person6@example.com', '{"specversion":"1.0","id":"6","source":"/subscription-sync/db1","type":"subscription.created","subject":"person6@example.com","time":"2026-11-29T21:15:42.074742+00:00","datacontenttype":"application/json","data":{"subscription":{"id":6,"email":"person6@example.com","status":"active","name":"Person 6","price":9.0000,"tags":["a","b"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":6,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:15:42.074742+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', 'subscription-sync', NULL, '2026-11-29 21:15:42.074742+00', '1140', false),
	(7, 'created', 'person7@example.com', '{"specversion":"1.0","id":"7","source":"/subscription-sync/db1","type":"subscription.created","subject":"person7@example.com","time":"2026-11-29T21:15:42.074782+00:00","datacontenttype":"application/json","data":{"subscription":{"id":7,"email":"person7@example.com","status":"active","name":"Person 7","price":10.5000,"tags":["a","b"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":7,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:15:42.074782+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', 'subscription-sync', NULL, '2026-11-29 21:15:42.074782+00', '1140', false),
	(8, 'created', 'person8@example.com', '{"specversion":"1.0","id":"8","source":"/subscription-sync/db1","type":"subscription.created","subject":"person8@example.com","time":"2026-11-29T21:15:42.07485+00:00","datacontenttype":"application/json","data":{"subscription":{"id":8,"email":"person8@example.com","status":"active","name":"Person 8","price":12.0000,"tags":["a","b"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":8,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:15:42.07485+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', 'subscription-sync', NULL, '2026-11-29 21:15:42.07485+00', '1140', false),
	(9, 'updated', 'person1@example.com', '{"specversion":"1.0","id":"9","source":"/subscription-sync/db1","type":"subscription.updated","subject":"person1@example.com","time":"2026-11-29T21:15:45.306516+00:00","datacontenttype":"application/json","data":{"subscription":{"id":1,"email":"person1@example.com","status":"paused","name":"Person 1","price":1.5000,"tags":["c"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":9,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:15:45.306516+00:00"},"previous":{"status":"active","tags":["a","b"]},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', NULL, NULL, '2026-11-29 21:15:45.306516+00', '1149', false),
	(10, 'updated', 'person2@example.com', '{"specversion":"1.0","id":"10","source":"/subscription-sync/db1","type":"subscription.updated","subject":"person2@example.com","time":"2026-11-29T21:15:45.306718+00:00","datacontenttype":"application/json","data":{"subscription":{"id":2,"email":"person2@example.com","status":"paused","name":"Person 2","price":3.0000,"tags":["c"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":10,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:15:45.306718+00:00"},"previous":{"status":"active","tags":["a","b"]},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', NULL, NULL, '2026-11-29 21:15:45.306718+00', '1149', false),
	(11, 'deleted', 'person8@example.com', '{"specversion":"1.0","id":"11","source":"/subscription-sync/db1","type":"subscription.deleted","subject":"person8@example.com","time":"2026-11-29T21:15:45.327892+00:00","datacontenttype":"application/json","data":{"subscription":{"id":8,"email":"person8@example.com","status":"active","name":"Person 8","price":12.0000,"tags":["a","b"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":11,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:15:45.327892+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', NULL, NULL, '2026-11-29 21:15:45.327892+00', '1150', false),
	(12, 'created', 'new@example.com', '{"specversion":"1.0","id":"12","source":"/subscription-sync/db1","type":"subscription.created","subject":"new@example.com","time":"2026-11-29T21:15:45.345769+00:00","datacontenttype":"application/json","data":{"subscription":{"id":9,"email":"new@example.com","status":"active","name":"New","price":12345678.1234,"tags":null,"profile":{"a" : 1.0, "version":3},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":12,"created_at":"2026-11-29T21:15:45.344868+00:00","updated_at":"2026-11-29T21:15:45.345769+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', NULL, NULL, '2026-11-29 21:15:45.345769+00', '1153', false),
	(13, 'updated', 'person3@example.com', '{"specversion":"1.0","id":"13","source":"/subscription-sync/db1","type":"subscription.updated","subject":"person3@example.com","time":"2026-11-29T21:16:17.32277+00:00","datacontenttype":"application/json","data":{"subscription":{"id":3,"email":"person3@example.com","status":"active","name":"Person 3","price":9.5000,"tags":["a","b"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":13,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:16:17.32277+00:00"},"previous":{"price":4.5000},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', NULL, NULL, '2026-11-29 21:16:17.32277+00', '1169', false),
	(14, 'deleted', 'person4@example.com', '{"specversion":"1.0","id":"14","source":"/subscription-sync/db1","type":"subscription.deleted","subject":"person4@example.com","time":"2026-11-29T21:16:17.323696+00:00","datacontenttype":"application/json","data":{"subscription":{"id":4,"email":"person4@example.com","status":"active","name":"Person 4","price":6.0000,"tags":["a","b"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":14,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:16:17.323696+00:00"},"previous":{},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', NULL, NULL, '2026-11-29 21:16:17.323696+00', '1169', false),
	(15, 'updated', 'person5@example.com', '{"specversion":"1.0","id":"15","source":"/subscription-sync/db1","type":"subscription.updated","subject":"person5@example.com","time":"2026-11-29T21:16:22.061506+00:00","datacontenttype":"application/json","data":{"subscription":{"id":5,"email":"person5@example.com","status":"active","name":"Five","price":7.5000,"tags":["a","b"],"profile":{"n" : 1.10},"plan":null,"access_until":null,"cancel_at_period_end":false,"metadata":{},"version":15,"created_at":"2026-11-29T21:15:40.507892+00:00","updated_at":"2026-11-29T21:16:22.061506+00:00"},"previous":{"name":"Person 5"},"actor":"postgres","reason":null,"origin":"sql"}}', 'postgres', NULL, 'sql', NULL, NULL, '2026-11-29 21:16:22.061506+00', '1177', false);
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
	(6, 'person6@example.com', 'active', 'Person 6', 9.0000, '{a,b}', '{"n" : 1.10}', NULL, NULL, false, '{}', 6, '2026-11-29 21:15:40.507892+00', '2026-11-29 21:15:42.074742+00'),
	(7, 'person7@example.com', 'active', 'Person 7', 10.5000, '{a,b}', '{"n" : 1.10}', NULL, NULL, false, '{}', 7, '2026-11-29 21:15:40.507892+00', '2026-11-29 21:15:42.074782+00'),
	(1, 'person1@example.com', 'paused', 'Person 1', 1.5000, '{c}', '{"n" : 1.10}', NULL, NULL, false, '{}', 9, '2026-11-29 21:15:40.507892+00', '2026-11-29 21:15:45.306516+00'),
	(2, 'person2@example.com', 'paused', 'Person 2', 3.0000, '{c}', '{"n" : 1.10}', NULL, NULL, false, '{}', 10, '2026-11-29 21:15:40.507892+00', '2026-11-29 21:15:45.306718+00'),
	(9, 'new@example.com', 'active', 'New', 12345678.1234, NULL, '{"a" : 1.0, "version":3}', NULL, NULL, false, '{}', 12, '2026-11-29 21:15:45.344868+00', '2026-11-29 21:15:45.345769+00'),
	(3, 'person3@example.com', 'active', 'Person 3', 9.5000, '{a,b}', '{"n" : 1.10}', NULL, NULL, false, '{}', 13, '2026-11-29 21:15:40.507892+00', '2026-11-29 21:16:17.32277+00'),
	(5, 'person5@example.com', 'active', 'Five', 7.5000, '{a,b}', '{"n" : 1.10}', NULL, NULL, false, '{}', 15, '2026-11-29 21:15:40.507892+00', '2026-11-29 21:16:22.061506+00');
INSERT INTO public.sync_checkpoint VALUES
	(true, '1172:1172:', '0/4EAC908', '2026-11-29 21:16:20.633429+00');
SELECT pg_catalog.setval('public.reconciliation_differences_id_seq', 1, false);
SELECT pg_catalog.setval('public.reconciliation_runs_id_seq', 1, true);
SELECT pg_catalog.setval('public.subscription_sync_migrations_id_seq', 8, true);
SELECT pg_catalog.setval('public.subscription_version', 15, true);
SELECT pg_catalog.setval('public.subscriptions_id_seq', 9, true);
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
ALTER TABLE ONLY public.subscription_changes_2026_11
    ADD CONSTRAINT subscription_changes_2026_11_pkey PRIMARY KEY (version, occurred_at);
ALTER TABLE ONLY public.subscription_changes_2026_12
    ADD CONSTRAINT subscription_changes_2026_12_pkey PRIMARY KEY (version, occurred_at);
ALTER TABLE ONLY public.subscription_changes_2027_01
    ADD CONSTRAINT subscription_changes_2027_01_pkey PRIMARY KEY (version, occurred_at);
ALTER TABLE ONLY public.subscription_changes_default
    ADD CONSTRAINT subscription_changes_default_pkey PRIMARY KEY (version, occurred_at);
ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_email_key UNIQUE (email);
ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sync_checkpoint
    ADD CONSTRAINT sync_checkpoint_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.unpublishable_changes
    ADD CONSTRAINT unpublishable_changes_pkey PRIMARY KEY (version);
CREATE INDEX idempotency_keys_created_at ON public.idempotency_keys USING btree (created_at);
CREATE INDEX imports_started_at ON public.imports USING btree (started_at);
CREATE INDEX reconciliation_differences_run ON public.reconciliation_differences USING btree (run, id);
CREATE UNIQUE INDEX reconciliation_runs_unfinished ON public.reconciliation_runs USING btree ((true)) WHERE ((finished_at IS NULL) AND (NOT paused));
CREATE INDEX subscription_changes_email ON ONLY public.subscription_changes USING btree (email, version);
CREATE INDEX subscription_changes_2026_11_email_version_idx ON public.subscription_changes_2026_11 USING btree (email, version);
CREATE INDEX subscription_changes_txid ON ONLY public.subscription_changes USING btree (txid, version);
CREATE INDEX subscription_changes_2026_11_txid_version_idx ON public.subscription_changes_2026_11 USING btree (txid, version);
CREATE INDEX subscription_changes_2026_12_email_version_idx ON public.subscription_changes_2026_12 USING btree (email, version);
CREATE INDEX subscription_changes_2026_12_txid_version_idx ON public.subscription_changes_2026_12 USING btree (txid, version);
CREATE INDEX subscription_changes_2027_01_email_version_idx ON public.subscription_changes_2027_01 USING btree (email, version);
CREATE INDEX subscription_changes_2027_01_txid_version_idx ON public.subscription_changes_2027_01 USING btree (txid, version);
CREATE INDEX subscription_changes_default_email_version_idx ON public.subscription_changes_default USING btree (email, version);
CREATE INDEX subscription_changes_default_txid_version_idx ON public.subscription_changes_default USING btree (txid, version);
CREATE INDEX subscriptions_by_email ON public.subscriptions USING btree (email COLLATE "C");
CREATE INDEX subscriptions_by_status ON public.subscriptions USING btree (status, email COLLATE "C");
CREATE INDEX subscriptions_by_updated_at ON public.subscriptions USING btree (updated_at, email COLLATE "C");
CREATE INDEX subscriptions_by_version ON public.subscriptions USING btree (version, email COLLATE "C");
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
