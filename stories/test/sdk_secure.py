"""Microsoft's own Python client over TLS: an Admin certificate lives a whole quorum loss, others get the client's own error.

Arguments: endpoint, service id, partition id, operation id, authority file, then certificate and key of Admin and of User.
Prints one line of JSON for each call: name, whether it passed, what came.
"""

import json
import sys
import time

from azure.servicefabric import ServiceFabricClientAPIs
from azure.servicefabric.models import FabricErrorException
from msrest.authentication import Authentication

endpoint, service, partition, operation, authority = sys.argv[1:6]
admin, user = tuple(sys.argv[6:8]), tuple(sys.argv[8:10])


def client(certificate):
    made = ServiceFabricClientAPIs(Authentication(), base_url=endpoint)
    made.config.retry_policy.policy.total = 0
    made.config.connection.verify = authority
    made.config.connection.cert = certificate
    return made


def tell(name, passed, came):
    print(json.dumps([name, bool(passed), str(came)[:300]]), flush=True)


def start(of):
    return of.start_quorum_loss(service, partition, operation, "QuorumReplicas", 1)


def denied(name, run):
    try:
        tell(name, False, run())
    except FabricErrorException as raised:
        came = [raised.error.error.code, raised.response.status_code]
        tell(name, came == ["E_ACCESSDENIED", 403], came)


tell("metadata is everybody's", client(None).get_aad_metadata().type == "none", "")
denied("nobody lists", lambda: client(None).get_fault_operation_list())
denied("nobody starts", lambda: start(client(None)))
denied("a user starts", lambda: start(client(user)))
tell("a user lists", client(user).get_fault_operation_list() == [], "")
tell("an admin starts", start(client(admin)) is None, "")
state = "Running"
until = time.monotonic() + 30
while state == "Running" and time.monotonic() < until:
    state = client(user).get_quorum_loss_progress(service, partition, operation).state
    time.sleep(0.05)
tell("a user sees it complete", state == "Completed", state)
denied("a user cancels", lambda: client(user).cancel_operation(operation, False))
