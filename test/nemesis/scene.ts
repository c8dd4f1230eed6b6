import { DEFAULT_TIMINGS, type Role } from '#config';
import type { Admin } from 'kafkajs';
import { World } from '../harness/world.js';
import { Fleet } from './fleet.js';
import type { History } from './history.js';
import type { Rig } from './rig.js';

export interface SceneOptions {
  readonly capture: 'wal' | 'poll';
  /** Whether DB2's tables are on a disk that can be filled. */
  readonly smallDisk: boolean;
}

/** The resources of a seed's run: databases, topic, consumer group, processes. */
export class Scene {
  readonly world: World;
  readonly fleet: Fleet;

  private constructor(
    readonly rig: Rig,
    world: World,
    readonly history: History,
  ) {
    this.world = world;
    this.fleet = new Fleet((role) => environmentOf(world, rig, role), history);
  }

  /** Creates the resources. Resolves when all processes are ready. */
  static async open(rig: Rig, { capture, smallDisk }: SceneOptions, history: History): Promise<Scene> {
    const world = await World.create({ parts: rig.parts.addresses, capture, timings: DEFAULT_TIMINGS });
    if (smallDisk && typeof rig.disk !== 'string') await rig.moveToSmallDisk(world.name);
    await world.db2.query(AUDIT);
    const scene = new Scene(rig, world, history);
    await scene.fleet.start();
    return scene;
  }

  /** Direct connection to Database 1, without the proxy. */
  get db1Config(): { host: string; port: number; user: string; password: string; database: string } {
    return { ...this.rig.parts.addresses.db1, database: this.world.name };
  }

  async withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = this.world.kafka.admin();
    try {
      await admin.connect();
      return await work(admin);
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }

  async close(): Promise<void> {
    await this.fleet.close();
    await this.world.close();
  }
}

/** Timeout (ms) of the watchdog. Only the watchdog notices a silent connection to Kafka, so its timeout is part of the recovery time. */
const STALL_TIMEOUT_MS = '10000';

function environmentOf(world: World, rig: Rig, role: Role): Record<string, string> {
  return { ...world.environment([role]), ...rig.environment, STALL_TIMEOUT_MS, LOG_LEVEL: 'info' };
}

/** Records every version that decreases, every version that is forgotten, and the furthest position. */
const AUDIT = `
CREATE TABLE setbacks (email text, before bigint, after bigint);
CREATE FUNCTION note_setback() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR NEW.version <= OLD.version THEN
    INSERT INTO setbacks VALUES (OLD.email, OLD.version, CASE WHEN TG_OP = 'UPDATE' THEN NEW.version END);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER note_setback AFTER UPDATE OR DELETE ON subscription_sync.applied FOR EACH ROW EXECUTE FUNCTION note_setback();
CREATE TABLE furthest (partition integer PRIMARY KEY, "offset" bigint NOT NULL);
CREATE FUNCTION note_furthest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO furthest AS f VALUES (NEW.partition, NEW."offset")
  ON CONFLICT (partition) DO UPDATE SET "offset" = greatest(f."offset", excluded."offset");
  RETURN NULL;
END $$;
CREATE TRIGGER note_furthest AFTER INSERT OR UPDATE ON subscription_sync.positions FOR EACH ROW EXECUTE FUNCTION note_furthest();`;
