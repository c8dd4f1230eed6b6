/** An event as Server-Sent Events carry it. */
export interface ReceivedEvent {
  readonly id: string | undefined;
  readonly data: string | undefined;
}

/** A client of Server-Sent Events, to be left at any event. */
export class EventSource {
  private constructor(
    readonly response: Response,
    private readonly left: AbortController,
  ) {}

  static async open(url: string, lastEventId?: string): Promise<EventSource> {
    const left = new AbortController();
    const headers = { accept: 'text/event-stream', ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }) };
    return new EventSource(await fetch(url, { headers, signal: left.signal }), left);
  }

  close(): void {
    this.left.abort();
  }

  /** Until the server ends the stream, or `close`. Comments and signs of life are left out. */
  async *events(): AsyncGenerator<ReceivedEvent, void, void> {
    let text = '';
    try {
      for await (const chunk of this.response.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        const frames = text.split('\n\n');
        text = frames.pop()!;
        for (const frame of frames) {
          const field = (name: string): string | undefined =>
            frame
              .split('\n')
              .filter((line) => line.startsWith(`${name}: `))
              .map((line) => line.slice(name.length + 2))
              .join('\n') || undefined;
          if (field('data') !== undefined) yield { id: field('id'), data: field('data') };
        }
      }
    } catch (error) {
      if (!this.left.signal.aborted) throw error;
    }
  }

  /** The next so many. */
  async take(count: number): Promise<ReceivedEvent[]> {
    const taken: ReceivedEvent[] = [];
    for await (const event of this.events()) {
      taken.push(event);
      if (taken.length === count) break;
    }
    return taken;
  }
}
