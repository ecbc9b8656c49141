/** The load generator's requests: JSON over node:http, which costs the client less than `fetch` does. */
import { type Agent, request } from 'node:http';

/** What came back: the status, and the body as text. */
export interface Reply {
  status: number;
  text: string;
}

/** Sends one request, with `body` as JSON, and resolves when the whole reply is in. Gives up after a minute of silence. */
export function send(agent: Agent, method: string, url: URL, body?: object, token?: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    };
    const outgoing = request(url, { agent, method, headers, timeout: 60_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', reject);
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${method} ${url.pathname}: no answer for a minute`)));
    outgoing.on('error', (error) => {
      // A server may close an idle connection just as it is used again: then it never saw what is sent anew here.
      const wasIdle = outgoing.reusedSocket && 'code' in error && error.code === 'ECONNRESET';
      if (wasIdle) resolve(send(agent, method, url, body, token));
      else reject(error);
    });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/**
 * Like `send`, and returns the body parsed.
 *
 * @throws where the status is not the expected one
 */
export async function sendExpecting(
  status: number,
  ...[agent, method, url, body, token]: Parameters<typeof send>
): Promise<unknown> {
  const reply = await send(agent, method, url, body, token);
  if (reply.status !== status) {
    throw new Error(`${method} ${url.pathname} answered ${reply.status}, not ${status}: ${reply.text.slice(0, 300)}`);
  }
  return JSON.parse(reply.text);
}
