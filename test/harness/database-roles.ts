import { readFileSync } from 'node:fs';
import { Client, type Pool } from 'pg';
import type { Role } from '#config';
import type { World } from './world.js';

const PASSWORD = 'role';
/** The roles that connect to each database. */
const ROLES_OF = { db1: ['api', 'sync'], db2: ['api', 'sync', 'replica'] } as const satisfies Record<string, readonly Role[]>;

/** The users of the three roles in a world's databases, with the privileges that deploy/sql gives them. */
export class DatabaseRoles {
  private constructor(private readonly world: World) {}

  /** Creates the users without any privilege. */
  static async create(world: World): Promise<DatabaseRoles> {
    const roles = new DatabaseRoles(world);
    await roles.forEach((pool, role) => pool.query(`CREATE ROLE ${roles.userOf(role)} LOGIN PASSWORD '${PASSWORD}'`));
    return roles;
  }

  userOf(role: Role): string {
    return `${this.world.name}_${role}`;
  }

  credentialsOf(role: Role): { readonly user: string; readonly password: string } {
    return { user: this.userOf(role), password: PASSWORD };
  }

  /** Runs a file of deploy/sql. `as` names the user of each role, where it is not its own. */
  async grant(database: keyof typeof ROLES_OF, as: Partial<Record<Role, string>> = {}): Promise<void> {
    const variables = Object.fromEntries(ROLES_OF[database].map((role) => [role, as[role] ?? this.userOf(role)]));
    await this.world[database].query(interpolate(readFileSync(`deploy/sql/${database}-roles.sql`, 'utf8'), variables));
  }

  /** Returns the environment of a process with one role, which knows the databases and the credentials of that role alone. */
  environment(role: Role): Record<string, string> {
    const { user, password } = this.credentialsOf(role);
    const databases = (['db1', 'db2'] as const).map((database) => {
      const prefix = database.toUpperCase();
      const isUsed = (ROLES_OF[database] as readonly Role[]).includes(role);
      return isUsed ? { [`${prefix}_USER`]: user, [`${prefix}_PASSWORD`]: password } : { [`${prefix}_HOST`]: '' };
    });
    return Object.assign({}, this.world.environment([role]), ...databases) as Record<string, string>;
  }

  async drop(): Promise<void> {
    await this.forEach((pool, role) => pool.query(`DROP OWNED BY ${this.userOf(role)}; DROP ROLE ${this.userOf(role)}`));
  }

  private async forEach(work: (pool: Pool, role: Role) => Promise<unknown>): Promise<void> {
    for (const database of ['db1', 'db2'] as const) {
      for (const role of ROLES_OF[database]) await work(this.world[database], role);
    }
  }
}

/** Puts the values of variables into a script, as psql does, which the npm package of PostgreSQL does not contain. */
function interpolate(script: string, variables: Readonly<Record<string, string>>): string {
  return script.replaceAll(/:(["'])(\w+)\1/g, (_, quote: string, name: string) => `${quote}${variables[name]!}${quote}`);
}

/** Runs one statement as another user. @returns its rows. */
export async function queryAs(
  world: World,
  database: 'db1' | 'db2',
  credentials: { readonly user: string; readonly password: string },
  sql: string,
): Promise<unknown[]> {
  const client = new Client({ ...world.addresses[database], database: world.name, ...credentials });
  try {
    await client.connect();
    return (await client.query<object>(sql)).rows;
  } finally {
    await client.end();
  }
}
