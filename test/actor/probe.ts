/** An actor for threads that does what tests tell it to, and answers with what it has noted. */
import type { AnyRef, Behaviour, Context, Ref } from '#src/actor/index.js';

export const probeModule = new URL(import.meta.url);

export type ProbeMessage =
  | Uint8Array
  | string
  | { readonly notes: Ref<readonly unknown[]> }
  | { readonly echo: unknown; readonly replyTo: Ref<unknown> }
  | { readonly silent: Ref<unknown> }
  | { readonly uncloneable: Ref<unknown> }
  | { readonly fail: string }
  | { readonly fill: Ref<Uint8Array>; readonly messages: number; readonly bytes: number }
  | { readonly forward: Ref<ProbeMessage>; readonly message: ProbeMessage }
  | { readonly watch: AnyRef }
  | { readonly stop: AnyRef }
  | { readonly after: number; readonly message: ProbeMessage }
  | { readonly talk: number }
  | { readonly child: Ref<Ref<ProbeMessage>> }
  | { readonly crash: 'uncaught' | 'rejection' | 'exit' | 'loop' }
  | { readonly hoard: 'all' }
  | { readonly block: Int32Array }
  | { readonly raise: Int32Array };

export interface ProbeArgs {
  readonly first?: unknown;
}

const probe: Behaviour<ProbeMessage, unknown[], ProbeArgs | undefined> = {
  name: 'probe',
  childSupervision: { decide: 'stop' },
  start: (args) => (args && 'first' in args ? [args.first] : []),
  receive(notes, message, context) {
    if (typeof message === 'string') notes.push(message);
    else if (message instanceof Uint8Array) notes.push(Uint8Array.from(message));
    else act(notes, message, context);
    return notes;
  },
  ended(notes, ended) {
    notes.push({ ref: ended.ref, reason: ended.reason });
    return notes;
  },
};

export default probe;

function act(
  notes: unknown[],
  message: Exclude<ProbeMessage, string | Uint8Array>,
  context: Context<ProbeMessage>,
): void {
  if ('notes' in message) context.tell(message.notes, notes);
  else if ('echo' in message) context.tell(message.replyTo, message.echo);
  else if ('uncloneable' in message) context.tell(message.uncloneable, () => undefined);
  else if ('fail' in message) throw new Error(message.fail);
  else if ('fill' in message)
    for (let i = 0; i < message.messages; i++) context.tell(message.fill, new Uint8Array(message.bytes));
  else if ('forward' in message) context.tell(message.forward, message.message);
  else if ('watch' in message) context.watch(message.watch);
  else if ('stop' in message) context.stop(message.stop);
  else if ('after' in message) context.after(message.after, message.message);
  else if ('talk' in message) for (let i = 0; i < message.talk; i++) context.tell(context.self, { talk: 1 });
  else if ('child' in message) context.tell(message.child, context.spawn(probe, {}));
  else if ('block' in message) Atomics.wait(message.block, 0, 0);
  else if ('raise' in message) {
    Atomics.store(message.raise, 0, 1);
    Atomics.notify(message.raise, 0);
  } else if ('hoard' in message) {
    // Message by message: Node 24 ends the whole process when one tight loop exhausts a thread's heap.
    for (let i = 0; i < 1_000; i++) notes.push(new Array(100).fill(i));
    context.tell(context.self, message);
  } else if ('crash' in message) crash(message.crash);
}

function crash(how: 'uncaught' | 'rejection' | 'exit' | 'loop'): void {
  switch (how) {
    case 'uncaught':
      setTimeout(() => {
        throw new Error('uncaught on purpose');
      });
      break;
    case 'rejection':
      void Promise.reject(new Error('rejected on purpose'));
      break;
    case 'exit':
      process.exit(3);
      break;
    case 'loop':
      // Without the processor, which others can use meanwhile.
      for (const never = new Int32Array(new SharedArrayBuffer(4)); ; ) Atomics.wait(never, 0, 0, 1_000);
  }
}
