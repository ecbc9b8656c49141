/**
 * Callboard's part in `actor-skynet`: a tree of actors in the calling thread. With `told` 0 an actor learns what it is as
 * it starts, and a leaf does all that it has to do then; with `told` 1 each is sent it, and so all leaves live at once.
 */
import { type Behaviour, type Context, createSystem, type Ref } from '../../src/actor/index.js';
import { measure, print, programValues } from '../actor-program.js';

const FAN_OUT = 10;

/** The leaves that an actor answers for: so many, from this number on. */
interface Part {
  readonly from: number;
  readonly size: number;
}
interface Node {
  readonly parent: Ref<number>;
  missing: number;
  sum: number;
}
type ToNode = Part | number;

interface NodeStart {
  readonly parent: Ref<number>;
  /** Undefined if it is to be told. */
  readonly part?: Part;
}

function take(state: Node, { from, size }: Part, context: Context<ToNode>): Node {
  if (size === 1) {
    context.tell(state.parent, from);
    context.stop(context.self, 'now');
    return state;
  }
  for (let i = 0; i < FAN_OUT; i++) {
    const part = { from: from + (i * size) / FAN_OUT, size: size / FAN_OUT };
    if (told) context.tell(context.spawn(node, { parent: context.self }), part);
    else context.spawn(node, { parent: context.self, part });
  }
  return state;
}

const node: Behaviour<ToNode, Node, NodeStart> = {
  name: 'node',
  start({ parent, part }, context) {
    const state = { parent, missing: FAN_OUT, sum: 0 };
    return part ? take(state, part, context) : state;
  },
  receive(state, message, context) {
    if (typeof message === 'object') return take(state, message, context);
    state.sum += message;
    if (--state.missing === 0) {
      context.tell(state.parent, state.sum);
      context.stop(context.self, 'now');
    }
    return state;
  },
};

/** Takes the sum of all. */
const root: Behaviour<number, (sum: number) => void, (sum: number) => void> = {
  name: 'root',
  start: (done) => done,
  receive(done, sum) {
    done(sum);
    return done;
  },
};

const { levels, told } = programValues('levels', 'told');
const system = createSystem();

/** Grows a tree with so many levels under its top, and resolves with the sum of the numbers of its leaves. */
const grow = (levels: number): Promise<number> =>
  new Promise((done) => {
    const part = { from: 0, size: FAN_OUT ** levels };
    const parent = system.spawn(root, done);
    if (told) system.tell(system.spawn(node, { parent }), part);
    else system.spawn(node, { parent, part });
  });

await grow(levels - 1);
const result = await measure(() => grow(levels));
await system.settle();
const [stats] = await system.stats();
// The two roots.
if (stats?.actors !== 2) throw new Error(`${stats?.actors} actors are left.`);
print(result);
