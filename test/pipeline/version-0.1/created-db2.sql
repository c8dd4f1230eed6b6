CREATE TABLE public.dead_letters (
    id bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea,
    value bytea,
    error_class text NOT NULL,
    error text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    state text DEFAULT 'open'::text NOT NULL,
    redrives integer DEFAULT 0 NOT NULL,
    changed_at timestamp with time zone,
    CONSTRAINT dead_letters_state_check CHECK ((state = ANY (ARRAY['open'::text, 'applied'::text, 'superseded'::text, 'discarded'::text])))
);
ALTER TABLE public.dead_letters ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.dead_letters_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.replica_positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    version bigint NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    version_time timestamp with time zone,
    record_time timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    breaks integer DEFAULT 0 NOT NULL
);
CREATE TABLE public.replicated_subscriptions (
    email text NOT NULL COLLATE pg_catalog."C",
    status text,
    plan text,
    access_until timestamp with time zone,
    cancel_at_period_end boolean DEFAULT false,
    metadata jsonb DEFAULT '{}'::jsonb,
    version bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now(),
    updated_at timestamp with time zone DEFAULT now(),
    tombstoned_at timestamp with time zone
)
WITH (fillfactor='85');
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
CREATE VIEW public.subscriptions AS
 SELECT replicated_subscriptions.email,
    replicated_subscriptions.status,
    replicated_subscriptions.plan,
    replicated_subscriptions.access_until,
    replicated_subscriptions.cancel_at_period_end,
    replicated_subscriptions.metadata,
    replicated_subscriptions.version,
    replicated_subscriptions.created_at,
    replicated_subscriptions.updated_at
   FROM public.replicated_subscriptions
  WHERE (replicated_subscriptions.tombstoned_at IS NULL);
ALTER TABLE ONLY public.subscription_sync_migrations ALTER COLUMN id SET DEFAULT nextval('public.subscription_sync_migrations_id_seq'::regclass);
INSERT INTO public.dead_letters OVERRIDING SYSTEM VALUE VALUES
	(1, 'subscription-events', 0, 7, '\x706f69736f6e406578616d706c652e636f6d', '\x7b226e6f74223a22616e206576656e74227d', 'not-an-event', 'The value is no subscription event: specversion is not "1.0"', '2026-11-29 21:14:35.988364+00', 'open', 0, NULL);
INSERT INTO public.replica_positions VALUES
	('subscription-events', 5, 3, 15, '2026-11-29 21:14:28.568564+00', '2026-11-29 21:14:28.437377+00', '2026-11-29 21:14:28.454+00', 0),
	('subscription-events', 3, 2, 21, '2026-11-29 21:14:29.056058+00', '2026-11-29 21:14:28.956695+00', '2026-11-29 21:14:28.991+00', 0),
	('subscription-events', 2, 2, 23, '2026-11-29 21:14:29.05785+00', '2026-11-29 21:14:28.961515+00', '2026-11-29 21:14:28.99+00', 0),
	('subscription-events', 4, 5, 24, '2026-11-29 21:14:29.169986+00', '2026-11-29 21:14:29.096624+00', '2026-11-29 21:14:29.134+00', 0),
	('subscription-events', 1, 3, 26, '2026-11-29 21:14:29.247893+00', '2026-11-29 21:14:29.141653+00', '2026-11-29 21:14:29.171+00', 0),
	('subscription-events', 0, 7, 27, '2026-11-29 21:14:35.995059+00', '2026-11-29 21:14:29.153386+00', '2026-11-29 21:14:35.922+00', 0);
INSERT INTO public.replicated_subscriptions VALUES
	('person9@example.com', 'pending', 'pro', NULL, false, '{"n": 9, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 9, '2026-11-29 21:14:28.008884+00', '2026-11-29 21:14:28.009413+00', NULL),
	('person8@example.com', 'active', NULL, NULL, false, '{"n": 8, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 8, '2026-11-29 21:14:27.892922+00', '2026-11-29 21:14:27.894006+00', NULL),
	('person11@example.com', 'active', 'pro', NULL, false, '{"n": 11, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 11, '2026-11-29 21:14:28.164989+00', '2026-11-29 21:14:28.165506+00', NULL),
	('person10@example.com', 'active', NULL, NULL, false, '{"n": 10, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 10, '2026-11-29 21:14:28.107007+00', '2026-11-29 21:14:28.107538+00', NULL),
	('person12@example.com', 'pending', NULL, NULL, false, '{"n": 12, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 12, '2026-11-29 21:14:28.219437+00', '2026-11-29 21:14:28.219904+00', NULL),
	('person2@example.com', 'canceled', NULL, NULL, false, '{"n": 2, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 14, '2026-11-29 21:14:27.022346+00', '2026-11-29 21:14:28.35051+00', NULL),
	('person3@example.com', 'canceled', 'pro', NULL, false, '{"n": 3, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 15, '2026-11-29 21:14:27.09286+00', '2026-11-29 21:14:28.437377+00', NULL),
	('person4@example.com', 'canceled', NULL, NULL, false, '{"n": 4, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 16, '2026-11-29 21:14:27.256647+00', '2026-11-29 21:14:28.570884+00', NULL),
	('person6@example.com', NULL, NULL, NULL, NULL, NULL, 18, NULL, NULL, '2026-11-29 21:14:28.742384+00'),
	('pruned@example.com', 'active', NULL, NULL, false, '{}', 19, '2026-11-29 21:14:28.807268+00', '2026-11-29 21:14:28.807788+00', NULL),
	('keyed@example.com', 'active', NULL, NULL, false, '{}', 20, '2026-11-29 21:14:28.875038+00', '2026-11-29 21:14:28.876434+00', NULL),
	('imported1@example.com', 'active', NULL, NULL, false, '{}', 21, '2026-11-29 21:14:28.954+00', '2026-11-29 21:14:28.956695+00', NULL),
	('imported3@example.com', 'active', NULL, NULL, false, '{}', 23, '2026-11-29 21:14:28.954+00', '2026-11-29 21:14:28.961515+00', NULL),
	('imported2@example.com', 'active', NULL, NULL, false, '{}', 22, '2026-11-29 21:14:28.954+00', '2026-11-29 21:14:28.956771+00', NULL),
	('person1@example.com', 'active', 'pro', NULL, false, '{"n": 1, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 24, '2026-11-29 21:14:26.922278+00', '2026-11-29 21:14:29.096624+00', NULL),
	('person7@example.com', NULL, NULL, NULL, NULL, NULL, 26, NULL, NULL, '2026-11-29 21:14:29.141653+00'),
	('renamed7@example.com', 'active', 'pro', NULL, false, '{"n": 7, "text": "ünïcödé \"quoted\" \\ ", "nested": {"numbers": [1, 2.5], "version": 1}, "version": 7}', 25, '2026-11-29 21:14:27.866666+00', '2026-11-29 21:14:29.141653+00', NULL),
	('person5@example.com', 'trialing', NULL, NULL, false, '{}', 27, '2026-11-29 21:14:29.152528+00', '2026-11-29 21:14:29.153386+00', NULL);
INSERT INTO public.subscription_sync_migrations VALUES
	(1, 1763900000000, 'CreateReplica1763900000000'),
	(2, 1764000000000, 'WorkOnDeadLetters1764000000000'),
	(3, 1764100000000, 'WatchPositions1764100000000');
SELECT pg_catalog.setval('public.dead_letters_id_seq', 1, true);
SELECT pg_catalog.setval('public.subscription_sync_migrations_id_seq', 3, true);
ALTER TABLE ONLY public.subscription_sync_migrations
    ADD CONSTRAINT "PK_d6a837db1fc87e8b6f7f3a389e5" PRIMARY KEY (id);
ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_topic_partition_offset_error_class_key UNIQUE (topic, partition, "offset", error_class);
ALTER TABLE ONLY public.replica_positions
    ADD CONSTRAINT replica_positions_pkey PRIMARY KEY (topic, partition);
ALTER TABLE ONLY public.replicated_subscriptions
    ADD CONSTRAINT replicated_subscriptions_pkey PRIMARY KEY (email);
CREATE INDEX dead_letters_state ON public.dead_letters USING btree (state, id);
