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
CREATE TABLE public.letters (
    id integer NOT NULL,
    subscription text NOT NULL,
    sent date
);
CREATE SEQUENCE public.letters_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.letters_id_seq OWNED BY public.letters.id;
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
    email text NOT NULL,
    status character varying(20),
    name text,
    price numeric(12,4),
    noted text DEFAULT 'none'::text,
    plan text,
    access_until timestamp with time zone,
    cancel_at_period_end boolean DEFAULT false,
    metadata jsonb DEFAULT '{}'::jsonb,
    version bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now(),
    updated_at timestamp with time zone DEFAULT now(),
    tombstoned_at timestamp with time zone
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
CREATE VIEW public.subscriptions AS
 SELECT replicated_subscriptions.email,
    replicated_subscriptions.status,
    replicated_subscriptions.plan,
    replicated_subscriptions.access_until,
    replicated_subscriptions.cancel_at_period_end,
    replicated_subscriptions.metadata,
    replicated_subscriptions.version,
    replicated_subscriptions.created_at,
    replicated_subscriptions.updated_at,
    replicated_subscriptions.name,
    replicated_subscriptions.price,
    replicated_subscriptions.noted
   FROM public.replicated_subscriptions
  WHERE (replicated_subscriptions.tombstoned_at IS NULL);
ALTER TABLE ONLY public.letters ALTER COLUMN id SET DEFAULT nextval('public.letters_id_seq'::regclass);
ALTER TABLE ONLY public.subscription_sync_migrations ALTER COLUMN id SET DEFAULT nextval('public.subscription_sync_migrations_id_seq'::regclass);
INSERT INTO public.letters VALUES
	(1, 'person3@example.com', '2026-01-01');
INSERT INTO public.replica_positions VALUES
	('subscription-events', 5, 0, 3, '2026-11-29 21:15:42.558636+00', '2026-11-29 21:15:42.074624+00', '2026-11-29 21:15:42.346+00', 0),
	('subscription-events', 2, 0, 4, '2026-11-29 21:15:42.56376+00', '2026-11-29 21:15:42.074663+00', '2026-11-29 21:15:42.339+00', 0),
	('subscription-events', 0, 2, 10, '2026-11-29 21:15:45.345624+00', '2026-11-29 21:15:45.306718+00', '2026-11-29 21:15:45.327+00', 0),
	('subscription-events', 4, 2, 9, '2026-11-29 21:15:45.348403+00', '2026-11-29 21:15:45.306516+00', '2026-11-29 21:15:45.327+00', 0),
	('subscription-events', 1, 1, 12, '2026-11-29 21:15:45.440348+00', '2026-11-29 21:15:45.345769+00', '2026-11-29 21:15:45.406+00', 0),
	('subscription-events', 3, 1, 11, '2026-11-29 21:15:45.446585+00', '2026-11-29 21:15:45.327892+00', '2026-11-29 21:15:45.344+00', 0);
INSERT INTO public.replicated_subscriptions VALUES
	('person5@example.com', 'active', 'Person 5', 7.5000, 'none', NULL, NULL, false, '{}', 5, '2026-11-29 21:15:40.507892+00', '2026-11-29 21:15:42.074706+00', NULL),
	('person7@example.com', 'active', 'Person 7', 10.5000, 'none', NULL, NULL, false, '{}', 7, '2026-11-29 21:15:40.507892+00', '2026-11-29 21:15:42.074782+00', NULL),
	('person3@example.com', 'active', 'Person 3', 4.5000, 'mine', NULL, NULL, false, '{}', 3, '2026-11-29 21:15:40.507892+00', '2026-11-29 21:15:42.074624+00', NULL),
	('person6@example.com', 'active', 'Person 6', 9.0000, 'none', NULL, NULL, false, '{}', 6, '2026-11-29 21:15:40.507892+00', '2026-11-29 21:15:42.074742+00', NULL),
	('person4@example.com', 'active', 'Person 4', 6.0000, 'none', NULL, NULL, false, '{}', 4, '2026-11-29 21:15:40.507892+00', '2026-11-29 21:15:42.074663+00', NULL),
	('person2@example.com', 'paused', 'Person 2', 3.0000, 'none', NULL, NULL, false, '{}', 10, '2026-11-29 21:15:40.507892+00', '2026-11-29 21:15:45.306718+00', NULL),
	('person1@example.com', 'paused', 'Person 1', 1.5000, 'none', NULL, NULL, false, '{}', 9, '2026-11-29 21:15:40.507892+00', '2026-11-29 21:15:45.306516+00', NULL),
	('new@example.com', 'active', 'New', 12345678.1234, 'none', NULL, NULL, false, '{}', 12, '2026-11-29 21:15:45.344868+00', '2026-11-29 21:15:45.345769+00', NULL),
	('person8@example.com', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 11, NULL, NULL, '2026-11-29 21:15:45.327892+00');
INSERT INTO public.subscription_sync_migrations VALUES
	(1, 1763900000000, 'CreateReplica1763900000000'),
	(2, 1764000000000, 'WorkOnDeadLetters1764000000000'),
	(3, 1764100000000, 'WatchPositions1764100000000');
SELECT pg_catalog.setval('public.dead_letters_id_seq', 1, false);
SELECT pg_catalog.setval('public.letters_id_seq', 1, true);
SELECT pg_catalog.setval('public.subscription_sync_migrations_id_seq', 3, true);
ALTER TABLE ONLY public.subscription_sync_migrations
    ADD CONSTRAINT "PK_d6a837db1fc87e8b6f7f3a389e5" PRIMARY KEY (id);
ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_topic_partition_offset_error_class_key UNIQUE (topic, partition, "offset", error_class);
ALTER TABLE ONLY public.letters
    ADD CONSTRAINT letters_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.replica_positions
    ADD CONSTRAINT replica_positions_pkey PRIMARY KEY (topic, partition);
ALTER TABLE ONLY public.replicated_subscriptions
    ADD CONSTRAINT subscriptions_pkey PRIMARY KEY (email);
CREATE INDEX dead_letters_state ON public.dead_letters USING btree (state, id);
CREATE INDEX subscription_sync_email_bytes ON public.replicated_subscriptions USING btree (email COLLATE "C");
CREATE INDEX subscriptions_name ON public.replicated_subscriptions USING btree (name);
ALTER TABLE ONLY public.letters
    ADD CONSTRAINT letters_subscription_fkey FOREIGN KEY (subscription) REFERENCES public.replicated_subscriptions(email);
GRANT SELECT ON TABLE public.subscriptions TO pg_monitor;
