export interface KafkaPlaces {
  readonly port: number;
  readonly controllerPort: number;
  readonly logDir: string;
  readonly behind?: Detour | undefined;
}

/** A second listener, to be reached through something in between: clients that come to it are sent there again, not to the broker's own port. */
export interface Detour {
  /** Where the broker listens for it. */
  readonly port: number;
  /** The port that it tells those clients, on 127.0.0.1. */
  readonly advertisedPort: number;
}

/**
 * One broker that is its own controller. The quorum is static: ports may move between two starts, and it was ready 0.7 s
 * sooner than the dynamic one (Kafka 4.4.0, Java 17, 2 cores: 2.5 s and 3.2 s).
 */
export function kafkaProperties({ port, controllerPort, logDir, behind }: KafkaPlaces): string {
  const listener = (name: string, at: number): string => `${name}://127.0.0.1:${at}`;
  const listeners = [listener('PLAINTEXT', port), ...(behind ? [listener('BEHIND', behind.port)] : [])];
  const advertised = [listener('PLAINTEXT', port), ...(behind ? [listener('BEHIND', behind.advertisedPort)] : [])];
  const lines = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    listeners: [...listeners, listener('CONTROLLER', controllerPort)].join(','),
    'advertised.listeners': advertised.join(','),
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,BEHIND:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    // A killed broker is let in again only when its former session is over. The defaults made its restart take 12 s instead of 6.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    'log.dirs': logDir,
    'auto.create.topics.enable': 'false',
    'group.initial.rebalance.delay.ms': '0',
    'offsets.topic.num.partitions': '4',
    'offsets.topic.replication.factor': '1',
    'transaction.state.log.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'share.coordinator.state.topic.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    // The default takes a quarter of the 512 MB heap.
    'log.cleaner.dedupe.buffer.size': String(16 * 1024 * 1024),
  };
  return Object.entries(lines)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}
