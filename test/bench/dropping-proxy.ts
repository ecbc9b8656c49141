/** A proxy in front of a server of the contract: it loses one event of an executor on the way. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { portOf } from '#bench/executors.js';

export interface DroppingProxy {
  readonly url: URL;
  /** Events lost so far. */
  readonly lost: number;
  close(): void;
}

/** @param victim which `mission.progress` event is lost, counted from 1 over all connections; 0 loses none */
export async function startDroppingProxy(target: URL, victim: number): Promise<DroppingProxy> {
  const sockets = new Set<Socket>();
  let events = 0;
  let lost = 0;
  const keeps = (text: string): boolean => {
    if (!text.includes('"mission.progress"') || ++events !== victim) return true;
    lost++;
    return false;
  };
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
    }
    upstream.pipe(client);
    client.once('data', (head: Buffer) => {
      upstream.write(head);
      if (head.toString('latin1').startsWith('GET /ws/')) forwardFrames(client, upstream, keeps);
      else client.pipe(upstream);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: new URL(`http://127.0.0.1:${portOf(server.address())}`),
    get lost() {
      return lost;
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Passes on the frames whose text `keeps` keeps; all but text frames, such as pings, always pass. */
function forwardFrames(client: Socket, upstream: Socket, keeps: (text: string) => boolean): void {
  let pending = Buffer.alloc(0);
  client.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    for (let size = frameSize(pending); size <= pending.length; size = frameSize(pending)) {
      const frame = pending.subarray(0, size);
      const isText = ((frame[0] ?? 0) & 0x0f) === 1;
      if (!isText || keeps(textOf(frame))) upstream.write(frame);
      pending = pending.subarray(size);
    }
  });
  client.on('end', () => upstream.end());
}

/** The text of a masked frame. */
function textOf(frame: Buffer): string {
  const start = ((frame[1] ?? 0) & 0x7f) === 126 ? 8 : 6;
  const mask = frame.subarray(start - 4, start);
  return Buffer.from(frame.subarray(start).map((byte, at) => byte ^ (mask[at % 4] ?? 0))).toString();
}

/** The size of the masked frame that begins here (RFC 6455, section 5.2), at most 64 KiB; infinite while not yet known. */
function frameSize(bytes: Buffer): number {
  const length = (bytes[1] ?? 0) & 0x7f;
  if (bytes.length < 8) return bytes.length < 2 || length > 0 ? Number.POSITIVE_INFINITY : 6;
  return length === 126 ? 8 + bytes.readUInt16BE(2) : 6 + length;
}
