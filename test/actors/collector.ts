/** An actor that keeps what it is told in the list that it starts from. */
import type { Behaviour } from '#src/actor/index.js';

export const collector = <Message>(): Behaviour<Message, Message[], Message[]> => ({
  name: 'collector',
  start: (list) => list,
  receive(list, message) {
    list.push(message);
    return list;
  },
});
