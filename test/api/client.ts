import request from 'supertest';

/** A supertest client for a server's subscriptions. `url` is called for each request: a server that is started again has another one. */
export class SubscriptionsClient {
  private next = 0;

  constructor(
    private readonly url: () => string,
    private readonly prefix = 'user',
  ) {}

  /** Returns an email that no other test of the file uses. */
  newEmail(): string {
    this.next += 1;
    return `${this.prefix}${this.next}@example.com`;
  }

  /** Creates a subscription. @returns its email. */
  async existing(body: Record<string, unknown> = {}): Promise<string> {
    const email = this.newEmail();
    await this.post({ email, status: 'active', ...body }).expect(201);
    return email;
  }

  post(body: object): request.Test {
    return request(this.url()).post('/subscriptions').send(body);
  }

  get(email: string): request.Test {
    return request(this.url()).get(pathOf(email));
  }

  head(email: string): request.Test {
    return request(this.url()).head(pathOf(email));
  }

  put(email: string, body: object): request.Test {
    return request(this.url()).put(pathOf(email)).send(body);
  }

  patch(email: string, body: object): request.Test {
    return request(this.url()).patch(pathOf(email)).send(body);
  }

  delete(email: string): request.Test {
    return request(this.url()).delete(pathOf(email));
  }

  /** Returns the ETag of an existing subscription. */
  async etagOf(email: string): Promise<string> {
    const { headers } = await this.get(email).expect(200);
    return headers['etag']!;
  }
}

export function pathOf(email: string): string {
  return `/subscriptions/${encodeURIComponent(email)}`;
}
