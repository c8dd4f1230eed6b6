import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A row of the change log, DB1.subscription_changes, without its `txid`, which is the capture's business. Written by trigger alone. */
@Entity({ name: 'subscription_changes', synchronize: false })
export class SubscriptionChange {
  @PrimaryColumn('bigint')
  version!: number;

  @Column('text')
  operation!: string;

  @Column('text')
  email!: string;

  /** The CloudEvents text that goes to Kafka. */
  @Column('text')
  event!: string;

  @Column('text')
  actor!: string;

  @Column('text', { nullable: true })
  reason!: string | null;

  /** `api`, or `sql` for any other program. */
  @Column('text')
  origin!: string;

  @Column('text', { nullable: true })
  application_name!: string | null;

  @Column('text', { nullable: true })
  traceparent!: string | null;

  @Column('timestamptz')
  occurred_at!: string;

  /** The lifecycle forbids it: raw SQL did it all the same. */
  @Column('boolean')
  forbidden!: boolean;
}
