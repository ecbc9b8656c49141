/** Any frames in any chunks: what is read past ws and what ws reads come out as one, whole and in order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import type { ExecutorMessage } from '#actors/executor.js';
import { createSystem } from '#src/actor/index.js';
import connection, { type ConnectionInput, type Peer } from '#src/server/connection.js';
import type { SocketMessage } from '#src/server/socket.js';
import { collector } from '../actors/collector.js';
import { codePoints } from '../code-points.js';

type Role = Peer['role'];

/** A frame as a client or a server sends it (RFC 6455, section 5.2): masked, or not. */
function frameOf(role: Role, opcode: number, isLast: boolean, payload: Uint8Array, key: Uint8Array): Buffer {
  const { length } = payload;
  const mask = role === 'client' ? 0x80 : 0;
  const head = [opcode | (isLast ? 0x80 : 0)];
  if (length < 126) head.push(mask | length);
  else if (length < 65_536) head.push(mask | 126, length >> 8, length & 255);
  else head.push(mask | 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((shift) => (length >> shift) & 255));
  if (role === 'server') return Buffer.concat([Buffer.from(head), payload]);
  return Buffer.concat([Buffer.from(head), key, payload.map((byte, at) => byte ^ (key[at & 3] ?? 0))]);
}

interface Sent {
  readonly bytes: (role: Role) => Buffer;
  /** What is to come out of it. */
  readonly out: string | undefined;
}

const keys = fc.uint8Array({ minLength: 4, maxLength: 4 });
const texts = fc.oneof(
  { weight: 4, arbitrary: fc.string({ maxLength: 300 }) },
  { weight: 2, arbitrary: fc.string({ unit: codePoints, maxLength: 200 }) },
  { weight: 1, arbitrary: fc.constantFrom('x'.repeat(125), 'x'.repeat(126), 'ü'.repeat(40_000), '') },
);
const whole = fc.tuple(texts, keys).map(
  ([text, key]): Sent => ({
    bytes: (role) => frameOf(role, 1, true, Buffer.from(text), key),
    out: Buffer.from(text).toString(),
  }),
);
const binary = fc
  .tuple(fc.uint8Array({ maxLength: 50 }), keys)
  .map(([bytes, key]): Sent => ({ bytes: (role) => frameOf(role, 2, true, bytes, key), out: '(binary)' }));
const ping = fc
  .tuple(fc.uint8Array({ maxLength: 125 }), keys)
  .map(([bytes, key]): Sent => ({ bytes: (role) => frameOf(role, 9, true, bytes, key), out: undefined }));
const fragmented = fc
  .tuple(fc.array(fc.tuple(texts, keys), { minLength: 2, maxLength: 4 }), fc.option(ping))
  .map(([parts, between]): Sent => {
    const bytes = (role: Role): Buffer => {
      const frames = parts.map(([text, key], at) =>
        frameOf(role, at === 0 ? 1 : 0, at === parts.length - 1, Buffer.from(text), key),
      );
      return Buffer.concat(between ? [...frames.slice(0, 1), between.bytes(role), ...frames.slice(1)] : frames);
    };
    return { bytes, out: Buffer.concat(parts.map(([text]) => Buffer.from(text))).toString() };
  });
const conversations = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: whole },
    { arbitrary: binary, weight: 1 },
    { arbitrary: ping, weight: 1 },
    fragmented,
  ),
  { maxLength: 30 },
);

/** A connection in this thread, and what it makes of the bytes it is given. */
function stand(role: Role) {
  const system = createSystem({ schedule: 'manual' });
  const peers: { readonly [Each in Role]: Peer } = {
    client: {
      role: 'client',
      headers: {
        upgrade: 'websocket',
        connection: 'Upgrade',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'sec-websocket-version': '13',
      },
    },
    server: { role: 'server', executorId: 'x', refusals: system.spawn(collector<string>(), []) },
  };
  const received: ExecutorMessage<string>[] = [];
  const sent: SocketMessage[] = [];
  const ref = system.spawn(connection, {
    executor: system.spawn(collector<ExecutorMessage<string>>(), received),
    socket: system.spawn(collector<SocketMessage>(), sent),
    peer: peers[role],
  });
  return {
    give(input: ConnectionInput): void {
      system.tell(ref, input);
      system.run();
    },
    /** Ends the connection. @returns what came out, once ws had had its turn */
    async out(): Promise<string[]> {
      await nextTurn();
      system.tell(ref, { type: 'socket-closed' });
      system.run();
      await system.close();
      return received.flatMap((message) =>
        message.type === 'frame' ? message.text : message.type === 'noise' ? '(binary)' : [],
      );
    },
    isClosing: () => received.some(({ type }) => type === 'disconnected'),
  };
}

for (const role of ['client', 'server'] as const)
  test(`any frames of a ${role}, cut into any chunks, with ws given its turn between them or not`, async () => {
    await fc.assert(
      fc.asyncProperty(
        conversations,
        fc.array(fc.tuple(fc.integer({ min: 1, max: 3_000 }), fc.boolean()), { minLength: 1 }),
        async (conversation, cuts) => {
          const { give, out } = stand(role);
          const bytes = Buffer.concat(conversation.map((sent) => sent.bytes(role)));
          for (let at = 0, cut = 0; at < bytes.length; cut++) {
            const [length, turn] = cuts[cut % cuts.length] ?? [1, false];
            // A copy at an odd place of a larger buffer: it is unmasked where it lies.
            const chunk = new Uint8Array(length + 7).subarray(cut % 7, (cut % 7) + Math.min(length, bytes.length - at));
            chunk.set(bytes.subarray(at, at + length));
            give(chunk);
            if (turn) await nextTurn();
            at += length;
          }
          assert.deepEqual(
            await out(),
            conversation.flatMap((sent) => sent.out ?? []),
          );
        },
      ),
      { numRuns: 100 },
    );
  });

const key = Uint8Array.of(1, 2, 3, 4);

for (const role of ['client', 'server'] as const) {
  const frame = (opcode: number, isLast: boolean, payload: Uint8Array) => frameOf(role, opcode, isLast, payload, key);
  const plain = (text: string) => frame(1, true, Buffer.from(text));
  const other = role === 'client' ? 'server' : 'client';
  for (const [what, bytes] of [
    ['a close frame', frame(8, true, Uint8Array.of(3, 232))],
    ['text that is not UTF-8', frame(1, true, Uint8Array.of(0xc3, 0x28))],
    [`a frame as a ${other} sends it`, frameOf(other, 1, true, Buffer.from('x'), key)],
    ['a whole text amid the fragments of another', Buffer.concat([frame(1, false, key), plain('x')])],
    ['a frame that is too large', frame(1, true, new Uint8Array(1024 * 1024 + 1))],
  ] as const)
    test(`of a ${role}, nothing counts that comes after ${what}, at once or later; what came before does`, async () => {
      const { give, out, isClosing } = stand(role);
      give(Buffer.concat([plain('before'), bytes, plain('after')]));
      await nextTurn();
      give(plain('later'));
      assert.deepEqual(await out(), ['before']);
      assert.ok(isClosing());
    });
}
