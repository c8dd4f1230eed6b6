import type { Random } from '../harness/random-operations.js';
import { someEmail, somePlan, someStatus } from './emails.js';
import type { Effect, History, Operation } from './history.js';

const ANSWER_WITHIN_MS = 6_000;

interface Request {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly email: string;
  readonly body?: Readonly<Record<string, unknown>>;
}

/** Writes through the API, and records the responses. */
export class ApiWriter {
  private count = 0;

  constructor(
    private readonly number: number,
    private readonly random: Random,
    private readonly history: History,
    /** Returns the current URL of the API: it gets another port when it is started again. */
    private readonly url: () => string,
  ) {}

  async write(): Promise<Operation> {
    return this.send(this.someRequest());
  }

  /** Writes a fixed subscription, as a probe. */
  async put(email: string): Promise<Operation> {
    return this.send({ method: 'PUT', path: `/${email}`, email, body: { status: 'active', plan: 'probe' } });
  }

  private async send(request: Request): Promise<Operation> {
    this.count += 1;
    const id = traceparentOf(this.number, this.count);
    const operation = { id, by: 'api' as const, what: request.method, ...(await this.execute(request, id)) };
    this.history.operation(operation);
    return operation;
  }

  private someRequest(): Request {
    const { random } = this;
    const email = someEmail(random);
    const status = someStatus(random);
    const path = `/${encodeURIComponent(email)}`;
    switch (random.below(5)) {
      case 0:
        return { method: 'POST', path: '', email, body: { email: email.toUpperCase(), status, metadata: { n: random.below(1_000) } } };
      case 1:
        return { method: 'PUT', path, email, body: { status, plan: somePlan(random), reactivate: true } };
      case 2:
        return { method: 'DELETE', path, email };
      default:
        return {
          method: 'PATCH',
          path,
          email,
          body: { status, plan: somePlan(random), cancel_at_period_end: random.chance(0.5), reactivate: true },
        };
    }
  }

  private async execute({ method, path, email, body }: Request, id: string): Promise<Pick<Operation, 'outcome' | 'effects' | 'why'>> {
    try {
      const response = await fetch(`${this.url()}/subscriptions${path}`, {
        method,
        headers: { traceparent: id, ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      });
      const text = await response.text();
      if (response.ok) return { outcome: 'ok', effects: [effectOf(method, email, text)] };
      // A commit whose response was lost is also a 503.
      return { outcome: response.status < 500 ? 'fail' : 'info', effects: [], why: `${response.status}` };
    } catch (error) {
      const why = causeOf(error as Error);
      // No process received a request whose connection was refused.
      return { outcome: why === 'ECONNREFUSED' ? 'fail' : 'info', effects: [], why };
    }
  }
}

function effectOf(method: string, email: string, text: string): Effect {
  if (method === 'DELETE') return { kind: 'deleted', email };
  const { version, status, plan } = JSON.parse(text) as { version: number; status: string; plan: string | null };
  return { kind: 'version', email, version, status, plan };
}

function causeOf(error: Error): string {
  const { cause } = error as { cause?: { code?: string } };
  return cause?.code ?? error.message;
}

/** W3C Trace Context: the writer and the operation's number are the trace and the span. */
function traceparentOf(writer: number, count: number): string {
  return `00-${(writer + 1).toString(16).padStart(32, '0')}-${count.toString(16).padStart(16, '0')}-01`;
}
