"""Microsoft's own Python client, which remembers what of it was called, and words to judge each of its calls.

Prints one line of JSON for each call: name, whether it passed, what came; and at the end the names of the methods.
"""

import atexit
import json
import os
import time

from azure.servicefabric import ServiceFabricClientAPIs
from azure.servicefabric.models import FabricErrorException
from msrest.authentication import Authentication


class Recorded:
    """The client; every method that is called is told at the end."""

    def __init__(self, endpoint):
        self._client = ServiceFabricClientAPIs(Authentication(), base_url=endpoint)
        # A repeated start would be another call than the one that is judged.
        self._client.config.retry_policy.policy.total = 0
        self._called = set()
        atexit.register(lambda: print(json.dumps({"methods": sorted(self._called)}), flush=True))

    def __getattr__(self, name):
        self._called.add(name)
        return getattr(self._client, name)


def tell(name, passed, came):
    print(json.dumps([name, bool(passed), str(came)[:400]]), flush=True)


def call(name, run, right=lambda came: came is None):
    """One call; `right` judges what came back."""
    try:
        came = run()
        tell(name, right(came), came)
        return came
    except Exception as raised:
        tell(name, False, repr(raised))


def refused(name, run, code, status):
    """One call that is to be refused with the client's own error."""
    try:
        tell(name, False, run())
    except FabricErrorException as raised:
        came = [raised.error.error.code, raised.response.status_code]
        tell(name, came == [code, status], came)
    except Exception as raised:
        tell(name, False, repr(raised))


def until(name, look, right, within=40):
    """Asks again until it is right, and says whether it became so."""
    ends = time.monotonic() + within * float(os.environ.get("INQUORATE_FACTOR", "1"))
    came = look()
    while not right(came) and time.monotonic() < ends:
        time.sleep(0.1)
        came = look()
    tell(name, right(came), came)
    return came
