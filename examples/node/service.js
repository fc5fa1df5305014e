// What another service does with messaging, over NATS: tells it things, asks it, and looks after what went wrong.
//
//   NATS_USER=events NATS_PASSWORD=… node service.js <userId> [<number of events to read from the log>]

import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { jetstream } from '@nats-io/jetstream';
import { connect, headers } from '@nats-io/transport-node';

const [user, events = '0'] = process.argv.slice(2);
const service = process.env.NATS_USER ?? 'events';
const nc = await connect({
  servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222',
  user: service,
  pass: process.env.NATS_PASSWORD ?? '',
  // The server lets each user read answers in an inbox of its own only.
  inboxPrefix: `_INBOX_${service}`,
});
const js = jetstream(nc);

/** Stored once, however often it is said: repeat it until it is confirmed. */
const publish = (subject, body, msgID) => js.publish(subject, JSON.stringify(body), { msgID });

/** Checked before it is answered. */
async function request(subject, body, msgID) {
  const options = { timeout: 5000 };
  if (msgID) {
    options.headers = headers();
    options.headers.set('Nats-Msg-Id', msgID);
  }
  return (await nc.request(subject, JSON.stringify(body), options)).json();
}

const [event, order] = [randomUUID(), randomUUID()];
const preview = { title: 'Lagos Jazz Night', ownerId: user, url: `https://example.com/events/${event}` };
await publish(`messaging.contexts.${service}.event.${event}`, preview, `${event}:1`);
console.log('context: stored');
await publish(`messaging.users.${service}.${user}`, { displayName: 'Ada Obi' }, `${user}:${event}`);
console.log('profile: stored');

const notices = `system.${service}.user.${user}`;
const notice = { content: 'Your ticket is ready', metadata: { order } };
for (const attempt of ['stored', 'repeated']) {
  const ack = await publish(`messaging.${notices}`, notice, `ticket:${order}`);
  console.log(`message ${attempt}: ${ack.duplicate ? 'known already' : 'new'}`);
}

let reply = await request(`messaging.api.${notices}`, { content: 'Doors open at seven' }, `doors:${order}`);
console.log(`request: ${reply.messageIds.length} message`);
reply = await request(`messaging.api.${notices}`, { content: ' ' });
for (const error of reply.error.errors) console.log(`refused: ${error.field} ${error.message}`);

// Nobody waits for an answer to what is published; if it is wrong, it becomes a dead letter.
await publish(`messaging.${notices}`, { content: '' }, `wrong:${order}`);
let letters = [];
for (let tries = 0; letters.length === 0 && tries < 100; tries += 1) {
  await setTimeout(100);
  ({ letters } = await request(`messaging.api.dead.${service}.list`, {}));
}
for (const letter of letters) {
  console.log(`dead letter: ${letter.reason}`);
  await request(`messaging.api.dead.${service}.drop`, { seq: letter.seq });
}

if (events > 0) {
  // Where the service may read the log, through the consumer that an operator has made for it.
  const log = await js.consumers.get('CHAT', service);
  for await (const message of await log.fetch({ max_messages: Number(events), expires: 10_000 })) {
    console.log(`event ${message.seq}: ${message.json().content ?? ''}`);
    message.ack();
  }
}
await nc.drain();
