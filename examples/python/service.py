"""What another service does with messaging, over NATS: tells it things, asks it, and looks after what went wrong.

    NATS_USER=events NATS_PASSWORD=… python service.py <userId> [<number of events to read from the log>]
"""

import asyncio
import json
import os
import sys
import uuid

import nats

SERVICE = os.environ.get("NATS_USER", "events")


async def main(user: str, events: int) -> None:
    nc = await nats.connect(
        os.environ.get("NATS_URL", "nats://127.0.0.1:4222"),
        user=SERVICE,
        password=os.environ.get("NATS_PASSWORD", ""),
        # The server lets each user read answers in an inbox of its own only.
        inbox_prefix=f"_INBOX_{SERVICE}".encode(),
    )
    js = nc.jetstream()

    async def publish(subject: str, body: dict, message_id: str):
        """Stored once, however often it is said: repeat it until it is confirmed."""
        return await js.publish(subject, json.dumps(body).encode(), headers={"Nats-Msg-Id": message_id})

    async def request(subject: str, body: dict, message_id: str | None = None) -> dict:
        """Checked before it is answered."""
        headers = {"Nats-Msg-Id": message_id} if message_id else None
        return json.loads((await nc.request(subject, json.dumps(body).encode(), 5, headers=headers)).data)

    event, order = uuid.uuid4(), uuid.uuid4()
    preview = {"title": "Lagos Jazz Night", "ownerId": user, "url": f"https://example.com/events/{event}"}
    await publish(f"messaging.contexts.{SERVICE}.event.{event}", preview, f"{event}:1")
    print("context: stored")
    await publish(f"messaging.users.{SERVICE}.{user}", {"displayName": "Ada Obi"}, f"{user}:{event}")
    print("profile: stored")

    notices = f"system.{SERVICE}.user.{user}"
    notice = {"content": "Your ticket is ready", "metadata": {"order": str(order)}}
    for attempt in ("stored", "repeated"):
        ack = await publish(f"messaging.{notices}", notice, f"ticket:{order}")
        print(f"message {attempt}: {'known already' if ack.duplicate else 'new'}")

    reply = await request(f"messaging.api.{notices}", {"content": "Doors open at seven"}, f"doors:{order}")
    print(f"request: {len(reply['messageIds'])} message")
    reply = await request(f"messaging.api.{notices}", {"content": " "})
    for error in reply["error"]["errors"]:
        print(f"refused: {error['field']} {error['message']}")

    # Nobody waits for an answer to what is published; if it is wrong, it becomes a dead letter.
    await publish(f"messaging.{notices}", {"content": ""}, f"wrong:{order}")
    for _ in range(100):
        letters = (await request(f"messaging.api.dead.{SERVICE}.list", {}))["letters"]
        if letters:
            break
        await asyncio.sleep(0.1)
    for letter in letters:
        print(f"dead letter: {letter['reason']}")
        await request(f"messaging.api.dead.{SERVICE}.drop", {"seq": letter["seq"]})

    if events:  # Where the service may read the log, through the consumer that an operator has made for it.
        log = await js.pull_subscribe_bind(durable=SERVICE, stream="CHAT", inbox_prefix=f"_INBOX_{SERVICE}.".encode())
        while events > 0:
            for message in await log.fetch(min(events, 100), timeout=10):
                print(f"event {message.metadata.sequence.stream}: {json.loads(message.data).get('content', '')}")
                await message.ack()
                events -= 1
    await nc.drain()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
