"""Lives a whole life of operations with Microsoft's own Python client and says of every call whether it came back right.

Arguments: endpoint, service id, partition id. Prints one line of JSON for each call: name, whether it passed, what came.
"""

import json
import os
import sys
import time
import uuid

from azure.servicefabric.models import FabricErrorException
from sdk_recorder import Recorded

endpoint, service, partition = sys.argv[1:4]
client = Recorded(endpoint)
nil = "00000000-0000-0000-0000-000000000000"
cluster = service.split("~")[0]
# How many times as long as a quick machine this one may take.
factor = float(os.environ.get("INQUORATE_FACTOR", "1"))


def tell(name, passed, came):
    print(json.dumps([name, bool(passed), str(came)[:300]]), flush=True)


def call(name, run, right=lambda came: came is None):
    """One call; `right` judges what came back, within what two seconds are on a quick machine."""
    began = time.monotonic()
    try:
        came = run()
        took = time.monotonic() - began
        quick = took < 2 * factor
        tell(name, right(came) and quick, came if quick else "took %.1f s" % took)
        return came
    except Exception as raised:
        tell(name, False, repr(raised))


def refused(name, run, code, status):
    """One call that is to be refused with the client's own error."""
    try:
        tell(name, False, run())
    except FabricErrorException as raised:
        came = [raised.error.error.code, raised.response.status_code]
        tell(name, came == [code, status] and raised.error.error.message, came)
    except Exception as raised:
        tell(name, False, repr(raised))


def start(operation, duration, mode="QuorumReplicas"):
    return client.start_quorum_loss(service, partition, operation, mode, duration)


def progress(operation):
    return client.get_quorum_loss_progress(service, partition, operation)


def ids(**filters):
    return [one.operation_id for one in client.get_fault_operation_list(**filters)]


def until(name, reached, within=30):
    """Waits for something that is asked by calls that are counted once, as `name`."""
    ends = time.monotonic() + within * factor
    came = None
    while time.monotonic() < ends:
        came = reached()
        if came:
            break
        time.sleep(0.1)
    tell(name, came, came)
    return came


def partition_status():
    return client.get_partition_info(partition).partition_status


def whole():
    """Every member is seen up: what is started before is refused."""
    until("get_partition_info (until whole)", lambda: client.get_partition_info(partition).health_state == "Ok", 30)


def browse(status):
    """Every call that looks, while the partition is in this status."""
    down = status == "InQuorumLoss"
    whole = "Error" if down else "Ok"
    application = call(
        "get_application_info_list", client.get_application_info_list, lambda came: came.items[0].name == "fabric:/" + cluster
    ).items[0]
    call("get_application_info", lambda: client.get_application_info(application.id), lambda came: came.id == cluster)
    call("get_application_info (none)", lambda: client.get_application_info("nope"))
    services = call(
        "get_service_info_list", lambda: client.get_service_info_list(application.id), lambda came: came.items[0].id == service
    ).items
    call(
        "get_service_info",
        lambda: client.get_service_info(application.id, services[0].id),
        lambda came: came.has_persisted_state and came.health_state == whole,
    )
    call(
        "get_service_description",
        lambda: client.get_service_description(service),
        lambda came: came.service_name == "fabric:/" + service.replace("~", "/"),
    )
    call("get_application_name_info", lambda: client.get_application_name_info(service), lambda came: came.id == cluster)
    call(
        "get_partition_info_list",
        lambda: client.get_partition_info_list(service),
        lambda came: [one.partition_status for one in came.items] == [status]
        and came.items[0].partition_information.id == partition,
    )
    call(
        "get_partition_info",
        lambda: client.get_partition_info(partition),
        lambda came: came.partition_status == status and came.health_state == whole,
    )
    call("get_partition_info (none)", lambda: client.get_partition_info(nil))
    call("get_service_name_info", lambda: client.get_service_name_info(partition), lambda came: came.id == service)
    replicas = call(
        "get_replica_info_list",
        lambda: client.get_replica_info_list(partition),
        # Without a quorum some systems have no leader, and who led is nobody's word.
        lambda came: sorted({one.replica_role for one in came.items} | ({"Primary"} if down else set()))
        == ["ActiveSecondary", "Primary"]
        and len(came.items) == 3,
    ).items
    for one in replicas:
        call(
            "get_replica_info",
            lambda: client.get_replica_info(partition, one.replica_id),
            lambda came: came.node_name == one.node_name,
        )
    nodes = call("get_node_info_list", client.get_node_info_list, lambda came: len(came.items) == 3).items
    page = call(
        "get_node_info_list (page)",
        lambda: client.get_node_info_list(max_results=2),
        lambda came: len(came.items) == 2 and came.continuation_token,
    )
    call(
        "get_node_info_list (next page)",
        lambda: client.get_node_info_list(max_results=2, continuation_token=page.continuation_token),
        lambda came: len(came.items) == 1 and came.continuation_token == "",
    )
    call("get_node_info", lambda: client.get_node_info(nodes[0].name), lambda came: came.name == nodes[0].name)
    call("get_node_info (none)", lambda: client.get_node_info("nope"))
    call("get_cluster_health", client.get_cluster_health, lambda came: came.aggregated_health_state == whole)
    call("get_cluster_manifest", client.get_cluster_manifest, lambda came: came.manifest.startswith("<?xml"))
    call("get_cluster_version", client.get_cluster_version, lambda came: came.version != "")
    refused(
        "get_partition_info_list (none)",
        lambda: client.get_partition_info_list("no~such"),
        "FABRIC_E_SERVICE_DOES_NOT_EXIST",
        404,
    )
    refused(
        "get_replica_info_list (none)", lambda: client.get_replica_info_list(nil), "FABRIC_E_PARTITION_NOT_FOUND", 404
    )


first, second, third = (str(uuid.uuid4()) for _ in range(3))

# Before anything.
browse("Ready")
call("get_fault_operation_list (empty)", ids, lambda came: came == [])
refused("get_quorum_loss_progress (none)", lambda: progress(first), "FABRIC_E_KEY_NOT_FOUND", 404)
refused("start_quorum_loss (mode)", lambda: start(first, 1, "Bogus"), "E_INVALIDARG", 400)
refused("start_quorum_loss (duration)", lambda: start(first, -5), "E_INVALIDARG", 400)
refused("start_quorum_loss (too long)", lambda: start(first, 901), "E_INVALIDARG", 400)

# A whole operation.
call("start_quorum_loss", lambda: start(first, 3))
refused(
    "start_quorum_loss (again)", lambda: start(first, 3), "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS", 409
)
call("get_quorum_loss_progress", lambda: progress(first), lambda came: came.state == "Running")
until("get_partition_info (until lost)", lambda: partition_status() == "InQuorumLoss", 10)
until("get_quorum_loss_progress (until ended)", lambda: progress(first).state not in ("Running", "RollingBack"))
call(
    "get_quorum_loss_progress (Completed)",
    lambda: progress(first),
    lambda came: came.state == "Completed"
    and came.invoke_quorum_loss_result.error_code == 0
    and came.invoke_quorum_loss_result.selected_partition.partition_id == partition,
)
whole()
browse("Ready")
refused("cancel_operation (ended)", lambda: client.cancel_operation(first), "FABRIC_E_KEY_NOT_FOUND", 404)

# One that is looked at while its members are stopped and then cancelled, and one that is cancelled by force, in that order only.
call("start_quorum_loss (to cancel)", lambda: start(second, 60))
until("get_partition_info (until lost)", lambda: partition_status() == "InQuorumLoss", 10)
browse("InQuorumLoss")
refused(
    "cancel_operation (force first)",
    lambda: client.cancel_operation(second, force=True),
    "FABRIC_E_INVALID_TEST_COMMAND_STATE",
    400,
)
call("cancel_operation", lambda: client.cancel_operation(second))
until("get_quorum_loss_progress (until ended)", lambda: progress(second).state not in ("Running", "RollingBack"))
call("get_quorum_loss_progress (Cancelled)", lambda: progress(second), lambda came: came.state == "Cancelled")
whole()
call("start_quorum_loss (to force)", lambda: start(third, 60))
until("get_partition_info (until lost)", lambda: partition_status() == "InQuorumLoss", 10)
call("cancel_operation (graceful, then force)", lambda: client.cancel_operation(third))
try:
    # The graceful one lifts within milliseconds: force is taken while it does, and not found once it has.
    client.cancel_operation(third, force=True)
    tell("cancel_operation (force)", True, "taken")
except FabricErrorException as raised:
    tell("cancel_operation (force)", raised.error.error.code == "FABRIC_E_KEY_NOT_FOUND", raised.error.error.code)
until("get_quorum_loss_progress (until ended)", lambda: progress(third).state not in ("Running", "RollingBack"))
forced = call(
    "get_quorum_loss_progress (forced)",
    lambda: progress(third).state,
    lambda came: came in ("Cancelled", "ForceCancelled"),
)

# The list and its filters.
call("get_fault_operation_list", ids, lambda came: came == [first, second, third])
for name, bits, expected in [
    ("Running", 1, []),
    ("RollingBack", 2, []),
    ("Completed", 8, [first]),
    ("Faulted", 16, []),
    ("Cancelled", 32, [second] + ([third] if forced == "Cancelled" else [])),
    ("ForceCancelled", 64, [third] if forced == "ForceCancelled" else []),
    ("Completed or ended early", 8 + 32 + 64, [first, second, third]),
    ("all", 65535, [first, second, third]),
]:
    call("get_fault_operation_list (%s)" % name, lambda: ids(state_filter=bits), lambda came: came == expected)
for bits, expected in [(1, []), (2, [first, second, third]), (4, []), (8, [])]:
    call("get_fault_operation_list (type %d)" % bits, lambda: ids(type_filter=bits), lambda came: came == expected)
