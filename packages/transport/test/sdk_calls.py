"""Makes calls with Microsoft's own Python client, one for each line of JSON on standard input:
{"call": name, "args": [...], "kwargs": {...}}. Answers each with a line: what the client made of it.

Argument: endpoint.
"""

import json
import sys

from azure.servicefabric import ServiceFabricClientAPIs
from azure.servicefabric.models import FabricErrorException
from msrest.authentication import Authentication

client = ServiceFabricClientAPIs(Authentication(), base_url=sys.argv[1])
client.config.retry_policy.policy.total = 0

for line in sys.stdin:
    asked = json.loads(line)
    try:
        getattr(client, asked["call"])(*asked["args"], **asked.get("kwargs", {}))
        print("done", flush=True)
    except FabricErrorException as raised:
        print(raised.error.error.code, flush=True)
