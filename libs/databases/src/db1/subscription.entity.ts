import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A row of DB1.subscriptions. `version`, `created_at` and `updated_at` are the database's own. Times are RFC 3339 text, microseconds kept. */
@Entity({ name: 'subscriptions', synchronize: false })
export class Subscription {
  @PrimaryColumn('text')
  email!: string;

  @Column('text')
  status!: string;

  @Column('text', { nullable: true })
  plan!: string | null;

  @Column('timestamptz', { nullable: true })
  access_until!: string | null;

  @Column('boolean')
  cancel_at_period_end!: boolean;

  @Column('jsonb')
  metadata!: Record<string, unknown>;

  @Column('bigint')
  version!: number;

  @Column('timestamptz')
  created_at!: string;

  @Column('timestamptz')
  updated_at!: string;
}
