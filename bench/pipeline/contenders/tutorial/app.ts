import { Body, Controller, Inject, Module, Param, Put } from '@nestjs/common';
import { ClientKafka, ClientsModule, EventPattern, Payload, Transport } from '@nestjs/microservices';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { Column, Entity, PrimaryColumn, Repository } from 'typeorm';

/** The row, as far as the benchmark writes it. */
@Entity('subscriptions')
class Subscription {
  @PrimaryColumn('text')
  email!: string;

  @Column('text')
  status!: string;

  @Column('text', { nullable: true })
  plan!: string | null;
}

const environment = process.env as Readonly<Record<string, string>>;
const TOPIC = environment.KAFKA_TOPIC!;
const KAFKA = 'KAFKA';

/** Saves a row, and tells Kafka afterwards. */
@Controller('subscriptions')
class SubscriptionsController {
  constructor(
    @InjectRepository(Subscription) private readonly repository: Repository<Subscription>,
    @Inject(KAFKA) private readonly client: ClientKafka,
  ) {}

  @Put(':email')
  async put(@Param('email') email: string, @Body() body: Partial<Subscription>): Promise<Subscription> {
    const subscription = (await this.repository.findOneBy({ email })) ?? this.repository.create({ email });
    const saved = await this.repository.save(Object.assign(subscription, body));
    this.client.emit(TOPIC, { key: email, value: JSON.stringify(saved) });
    return saved;
  }
}

/** Saves each row that an event carries. */
@Controller()
class EventsController {
  constructor(@InjectRepository(Subscription) private readonly repository: Repository<Subscription>) {}

  @EventPattern(TOPIC)
  async handle(@Payload() subscription: object): Promise<void> {
    await this.repository.save(subscription as Subscription);
  }
}

export const KAFKA_OPTIONS = {
  client: { clientId: TOPIC, brokers: [environment.KAFKA_SERVER!] },
  consumer: { groupId: TOPIC },
  subscribe: { fromBeginning: true },
};

@Module({
  imports: [
    TypeOrmModule.forRoot({ type: 'postgres', url: environment.DATABASE_URL!, entities: [Subscription] }),
    TypeOrmModule.forFeature([Subscription]),
  ],
  exports: [TypeOrmModule],
})
class DatabaseModule {}

@Module({
  imports: [
    DatabaseModule,
    ClientsModule.register([{ name: KAFKA, transport: Transport.KAFKA, options: { ...KAFKA_OPTIONS, producerOnlyMode: true } }]),
  ],
  controllers: [SubscriptionsController],
})
export class ApiModule {}

@Module({ imports: [DatabaseModule], controllers: [EventsController] })
export class HandlerModule {}
