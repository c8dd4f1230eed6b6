import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface TemporaryCredentials {
  readonly id: string;
  readonly secret: string;
  readonly session: string;
}

/** The examples of AWS's own documentation, and others. */
export const LASTING = { id: 'AKIAIOSFODNN7EXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };
export const ROTATED = { id: 'AKIAI44QH8DHBEXAMPLE', secret: 'je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY' };
export const TEMPORARY = { id: 'ASIAIOSFODNN7EXAMPLE', secret: 'TEMPORARYwJalrXUtnFEMI/K7MDENG', session: 'IQoJb3JpZ2luX2Vj+/==TOKEN' };

/** Returns AWS's variables of credentials. */
export const inEnvironment = ({ id, secret, session }: { id: string; secret: string; session?: string }): Record<string, string> => ({
  AWS_ACCESS_KEY_ID: id,
  AWS_SECRET_ACCESS_KEY: secret,
  ...(session !== undefined && { AWS_SESSION_TOKEN: session }),
});

const own = { ...process.env };

/** Sets AWS's variables of this process, which is the one that its SDK reads. None of this machine's own credentials are found. */
export function setAwsVariables(variables: Readonly<Record<string, string>>): void {
  removeAwsVariables();
  Object.assign(process.env, { AWS_EC2_METADATA_DISABLED: 'true', ...variables });
}

export function restoreAwsVariables(): void {
  removeAwsVariables();
  Object.assign(process.env, own);
}

function removeAwsVariables(): void {
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) Reflect.deleteProperty(process.env, name);
}

/** The AWS that gives credentials to a pod, a task or an instance, on this machine. */
export class FakeAws {
  readonly requests: string[] = [];
  /** Returns the credentials to give, or the code of an error. */
  answer: () => TemporaryCredentials | string = () => 'AccessDenied';
  validMs = 3_600_000;

  private constructor(private readonly server: Server) {}

  static async start(): Promise<FakeAws> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { status, body } = fake.respond(request, new URLSearchParams(Buffer.concat(chunks).toString()));
        response.writeHead(status).end(body);
      });
    });
    const fake = new FakeAws(server);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private respond({ method, url }: IncomingMessage, form: URLSearchParams): { status: number; body: string } {
    const action = form.get('Action');
    this.requests.push(action === null ? `${method} ${url}` : `${action} ${form.get('RoleArn')}`);
    if (url === '/latest/api/token') return { status: 200, body: 'token' };
    if (url === '/latest/meta-data/iam/security-credentials/') return { status: 200, body: 'sync' };
    const answer = this.answer();
    if (typeof answer === 'string') {
      return {
        status: 403,
        body: `<ErrorResponse><Error><Code>${answer}</Code><Message>${answer} for you</Message></Error></ErrorResponse>`,
      };
    }
    const { id, secret, session } = answer;
    const Expiration = new Date(Date.now() + this.validMs).toISOString();
    if (action !== null) {
      const credentials = `<AccessKeyId>${id}</AccessKeyId><SecretAccessKey>${secret}</SecretAccessKey><SessionToken>${session}</SessionToken><Expiration>${Expiration}</Expiration>`;
      const result = `<${action}Result><Credentials>${credentials}</Credentials></${action}Result>`;
      return { status: 200, body: `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">${result}</${action}Response>` };
    }
    return { status: 200, body: JSON.stringify({ Code: 'Success', AccessKeyId: id, SecretAccessKey: secret, Token: session, Expiration }) };
  }
}
