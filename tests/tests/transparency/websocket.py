"""A WebSocket service: python3 websocket.py PORT ADDRESS. Echoes; refuses /refused with 403; closes with 4001 on "bye"."""

import asyncio
import http
import sys

import websockets


async def echo(connection, _path=None):
    async for message in connection:
        if message == "bye":
            await connection.close(4001, "as you wish")
            return
        await connection.send(message)


async def refuse(path, _headers):
    return (http.HTTPStatus.FORBIDDEN, [], b"no") if path == "/refused" else None


async def main():
    async with websockets.serve(echo, sys.argv[2], int(sys.argv[1]), process_request=refuse, max_size=1 << 24):
        print("listening", flush=True)
        await asyncio.Future()


asyncio.run(main())
