import type { SASLOptions } from 'kafkajs';
import { type KafkaSasl, type KafkaTimings, secretText } from '#config';
import { SettingsProblem } from './connection-errors.js';
import { signMskToken, type Token } from './msk-token.js';

type OAuth = Extract<KafkaSasl, { mechanism: 'OAUTHBEARER' }>;
type WithToken = Extract<KafkaSasl, { mechanism: 'OAUTHBEARER' | 'AWS_MSK_IAM' }>;

/** Returns kafkajs's options. The password is read for each login, because it may have been rotated. */
export function saslOptions(sasl: KafkaSasl, timings: KafkaTimings): SASLOptions {
  if (sasl.mechanism === 'OAUTHBEARER' || sasl.mechanism === 'AWS_MSK_IAM') {
    // Amazon MSK takes its tokens by the mechanism OAUTHBEARER.
    return { mechanism: 'oauthbearer', oauthBearerProvider: () => tokenOf(sasl, timings) };
  }
  return {
    mechanism: sasl.mechanism.toLowerCase() as 'plain',
    username: sasl.username,
    get password(): string {
      return secretText(sasl.password);
    },
  };
}

/** Minimum time (ms) for which a token must still be valid. A broker ends the session when it expires, and kafkajs logs in again 10 s before. */
const MIN_VALID_MS = 15_000;

/** The newest token of each client, which all its connections share, and the request for the next one. */
const tokens = new WeakMap<WithToken, Token>();
const pending = new WeakMap<WithToken, Promise<Token>>();

async function tokenOf(sasl: WithToken, { requestTimeoutMs }: KafkaTimings): Promise<{ value: string }> {
  const token = tokens.get(sasl);
  if (token && Date.now() < renewalOf(token)) return token;
  let request = pending.get(sasl);
  if (!request) {
    const fetched = sasl.mechanism === 'OAUTHBEARER' ? fetchToken(sasl, requestTimeoutMs) : signMskToken(sasl, requestTimeoutMs);
    request = fetched.finally(() => pending.delete(sasl));
    pending.set(sasl, request);
  }
  const fresh = await request;
  tokens.set(sasl, fresh);
  return fresh;
}

/** Returns the time (Date.now(), ms) from which another token is fetched. */
function renewalOf({ validFrom, validUntil }: Token): number {
  return validUntil - Math.max(MIN_VALID_MS, (validUntil - validFrom) / 5);
}

/** Forgets the token that Kafka has refused: the next login takes another one, of credentials that may have been corrected. */
export function forgetToken(sasl: KafkaSasl | undefined): void {
  if (sasl?.mechanism === 'OAUTHBEARER' || sasl?.mechanism === 'AWS_MSK_IAM') tokens.delete(sasl);
}

/**
 * Fetches a token for the client's credentials (RFC 6749, 4.4).
 * @throws SettingsProblem that names the endpoint. It never contains the secret or the token.
 */
async function fetchToken({ tokenUrl, clientId, clientSecret, scope }: OAuth, timeoutMs: number): Promise<Token> {
  const credentials = [clientId, secretText(clientSecret)].map(encodeURIComponent).join(':');
  const asked = Date.now();
  let response: Response;
  let text: string;
  try {
    response = await fetch(tokenUrl, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}`, accept: 'application/json' },
      body: new URLSearchParams({ grant_type: 'client_credentials', ...(scope !== undefined && { scope }) }),
      signal: AbortSignal.timeout(timeoutMs),
      // The credentials are for this address alone.
      redirect: 'error',
    });
    text = await response.text();
  } catch (error) {
    const { message, cause } = error as Error;
    const reason = cause instanceof Error ? cause.message : message;
    throw new SettingsProblem(`no token from KAFKA_SASL_OAUTH_TOKEN_URL ${tokenUrl} (${reason}): start it, or correct the URL`);
  }
  const answer = parse(text);
  if (!response.ok) {
    throw new SettingsProblem(
      `KAFKA_SASL_OAUTH_TOKEN_URL ${tokenUrl} gives client "${clientId}" no token (HTTP ${response.status}${answer.error ? `, ${answer.error}` : ''}): ` +
        'correct KAFKA_SASL_OAUTH_CLIENT_ID, KAFKA_SASL_OAUTH_CLIENT_SECRET and KAFKA_SASL_OAUTH_SCOPE',
    );
  }
  const { access_token: value, expires_in: seconds = 0 } = answer;
  if (typeof value !== 'string') {
    throw new SettingsProblem(`the answer of KAFKA_SASL_OAUTH_TOKEN_URL ${tokenUrl} has no access_token: correct the URL`);
  }
  return { value, validFrom: asked, validUntil: asked + Number(seconds) * 1_000 };
}

function parse(text: string): { access_token?: unknown; expires_in?: unknown; error?: string } {
  try {
    const answer: unknown = JSON.parse(text);
    return typeof answer === 'object' && answer !== null ? answer : {};
  } catch {
    return {};
  }
}
