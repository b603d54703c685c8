"""Reads a stream with a library of Python and prints what it delivers, one JSON object a line.

Usage: libraries.py LIBRARY URL, or libraries.py pooled-requests|pooled-httpx URL TIMES, which reads a stream to its end over
one pool of connections and publishes over the same, again and again, and prints the status of each POST.
"""

import asyncio
import datetime
import json
import sys
import time

PAUSE = 0.2


def show(**record):
    print(json.dumps(record), flush=True)


def message(event, data, last):
    show(type="message", event=event or "message", data=data, id=last or "")


def again_and_again(read):
    """A library that reads one answer and leaves coming back to its user."""
    headers = {"Accept": "text/event-stream"}
    while True:
        try:
            for event in read(headers):
                message(event.event, event.data, event.id)
                if event.id:
                    headers["Last-Event-ID"] = event.id
            show(type="end")
        except Exception as error:  # whatever a library makes of it
            show(type="error", text=repr(error))
        time.sleep(PAUSE)


def httpx_sse(url):
    import httpx
    import httpx_sse

    client = httpx.Client(timeout=None)

    def read(headers):
        with httpx_sse.connect_sse(client, "GET", url, headers=headers) as source:
            show(type="open")
            yield from source.iter_sse()

    again_and_again(read)


def sseclient(url):
    import sseclient as library

    for event in library.SSEClient(url, retry=200):
        message(event.event, event.data, event.id)


def sseclient_py(url):
    import requests
    import sseclient as library

    session = requests.Session()

    def read(headers):
        response = session.get(url, stream=True, headers=headers)
        show(type="open")
        yield from library.SSEClient(response).events()

    again_and_again(read)


def requests_sse(url):
    import requests_sse as library

    with library.EventSource(url, reconnection_time=0.2) as source:
        show(type="open")
        for event in source:
            message(event.type, event.data, event.last_event_id)
        show(type="end")


def aiohttp_sse_client2(url):
    from aiohttp_sse_client2 import client as library

    async def run():
        async with library.EventSource(url, timeout=None, reconnection_time=datetime.timedelta(seconds=PAUSE)) as source:
            show(type="open")
            async for event in source:
                message(event.type, event.data, event.last_event_id)
            show(type="end")

    asyncio.run(run())


def aiosseclient(url):
    import aiosseclient as library

    async def run():
        last = None
        while True:
            async for event in library.aiosseclient(url, last_id=last):
                message(event.event, event.data, event.id)
                last = event.id or last
            show(type="end")
            await asyncio.sleep(PAUSE)

    asyncio.run(run())


def launchdarkly_eventsource(url):
    import ld_eventsource
    import ld_eventsource.config as config

    source = ld_eventsource.SSEClient(
        connect=config.ConnectStrategy.http(url), error_strategy=config.ErrorStrategy.always_continue(), initial_retry_delay=0.2
    )
    for event in source.all:
        if isinstance(event, ld_eventsource.actions.Event):
            message(event.event, event.data, event.last_event_id)
        elif isinstance(event, ld_eventsource.actions.Start):
            show(type="open")
        elif isinstance(event, ld_eventsource.actions.Fault):
            show(type="end")


def pooled(url, client, **body):
    for _ in range(int(sys.argv[3])):
        client.get(url, headers={"Accept": "text/event-stream"})
        try:
            show(status=client.post(url, **body).status_code)
        except Exception as error:  # whatever it is, the POST failed
            show(status=repr(error))


def pooled_requests(url):
    import requests

    pooled(url, requests.Session(), data=b"behind the stream")


def pooled_httpx(url):
    import httpx

    pooled(url, httpx.Client(timeout=60), content=b"behind the stream")


globals()[sys.argv[1].replace("-", "_")](sys.argv[2])
