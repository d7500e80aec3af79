"""Asks with Microsoft's own Python client what explorers ask besides: upgrades, loads, types, what is deployed, events, backups,
and the faults of one call. Each answer has to become the client's own model, with everything that the model requires.

Arguments: endpoint, service id, partition id, `simulated` or `real`. Prints what `sdk_recorder` says.
"""

import sys

from azure.servicefabric import models
from sdk_recorder import Recorded, call, refused, tell, until

endpoint, service, partition, system = sys.argv[1:5]
client = Recorded(endpoint)
simulated = system == "simulated"
application = service.split("~")[0]
kind = client.get_application_info(application)
package = kind.type_name + "Pkg"
window = ("2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z")
everything = 65535


def missing(value, path=""):
    """The properties that a model requires and that did not come."""
    if isinstance(value, list):
        return [found for one in value for found in missing(one, path + "[]")]
    if not hasattr(value, "_attribute_map"):
        return []
    required = [name for name, rule in value._validation.items() if rule.get("required") and name not in ("kind", "service_kind")]
    return [path + "." + name for name in required if getattr(value, name) is None] + [
        found for name in value._attribute_map for found in missing(getattr(value, name), path + "." + name)
    ]


def shown(name, *arguments, right=lambda came: True, **named):
    call(name, lambda: getattr(client, name)(*arguments, **named), lambda came: came is not None and missing(came) == [] and right(came))


def some(came):
    return len(came.items if hasattr(came, "items") else came) > 0


def replica(role):
    return next(one for one in client.get_replica_info_list(partition).items if one.replica_role == role)


def is_up(name):
    return client.get_node_info(name).node_status == "Up"


def browse():
    one = replica("Primary")
    node = one.node_name
    type_name = client.get_service_description(service).service_type_name
    shown("get_cluster_upgrade_progress", right=lambda came: came.upgrade_state == "RollingForwardCompleted" and some(came.upgrade_domains))
    shown("get_cluster_load")
    shown("get_repair_task_list")
    shown("get_cluster_health_chunk", right=lambda came: came.health_state in ("Ok", "Warning"))
    filters = models.ClusterHealthChunkQueryDescription(
        application_filters=[
            models.ApplicationHealthStateFilter(
                application_name_filter="fabric:/" + application,
                service_filters=[models.ServiceHealthStateFilter(health_state_filter=everything, partition_filters=[models.PartitionHealthStateFilter(health_state_filter=everything, replica_filters=[models.ReplicaHealthStateFilter(health_state_filter=everything)])])],
                deployed_application_filters=[models.DeployedApplicationHealthStateFilter(health_state_filter=everything)],
            )
        ],
        node_filters=[models.NodeHealthStateFilter(health_state_filter=everything)],
    )
    chunk = "get_cluster_health_chunk_using_policy_and_advanced_filters"
    shown(chunk, filters, right=lambda came: some(came.node_health_state_chunks) and some(came.application_health_state_chunks.items[0].service_health_state_chunks.items[0].partition_health_state_chunks.items[0].replica_health_state_chunks))
    shown("get_application_type_info_list", right=some)
    shown("get_application_type_info_list_by_name", kind.type_name, right=some)
    shown("get_service_type_info_list", kind.type_name, kind.type_version, right=some)
    shown("get_service_type_info_by_name", kind.type_name, kind.type_version, type_name)
    shown("get_application_manifest", kind.type_name, kind.type_version, right=lambda came: "<ApplicationManifest" in came.manifest)
    shown("get_service_manifest", kind.type_name, kind.type_version, package, right=lambda came: "<ServiceManifest" in came.manifest)
    shown("get_application_upgrade", application)
    shown("get_application_load_info", application)
    shown("get_node_load_info", node)
    shown("get_partition_load_information", partition)
    shown("get_deployed_application_info_list", node, right=some)
    shown("get_deployed_application_info", node, application)
    shown("get_deployed_application_health", node, application)
    shown("get_deployed_service_package_info_list", node, application, right=some)
    shown("get_deployed_service_package_info_list_by_name", node, application, package, right=some)
    shown("get_deployed_service_package_health", node, application, package)
    shown("get_deployed_service_type_info_list", node, application, right=some)
    shown("get_deployed_code_package_info_list", node, application, right=some)
    shown("get_deployed_service_replica_info_list", node, application, right=some)
    shown("get_deployed_service_replica_detail_info", node, partition, one.replica_id, right=lambda came: came.replica_id == one.replica_id)
    shown("resolve_service", service, right=lambda came: some(came.endpoints))
    shown("get_backup_policy_list")
    shown("get_application_backup_configuration_info", application)
    shown("get_service_backup_configuration_info", service)
    shown("get_partition_backup_configuration_info", partition)
    shown("get_partition_backup_progress", partition)
    shown("get_partition_restore_progress", partition)
    shown("get_partition_backup_list", partition)


def events():
    """What happened before stands in the event store."""
    one = replica("Primary")
    for name, of in (
        ("get_cluster_event_list", ()),
        ("get_nodes_event_list", ()),
        ("get_applications_event_list", ()),
        ("get_application_event_list", (application,)),
        ("get_services_event_list", ()),
        ("get_service_event_list", (service,)),
        ("get_partitions_event_list", ()),
        ("get_partition_event_list", (partition,)),
        ("get_partition_replicas_event_list", (partition,)),
    ):
        shown(name, *of, *window, right=some)
    shown("get_node_event_list", one.node_name, *window)
    shown("get_partition_replica_event_list", partition, one.replica_id, *window)
    shown("get_containers_event_list", *window, right=lambda came: came == [])
    first = client.get_partition_event_list(partition, *window)[0]
    shown("get_correlated_event_list", first.event_instance_id, right=some)


def one_call():
    """Restart, deactivate and activate a node; restart and remove a replica."""
    second = replica("ActiveSecondary")
    node = second.node_name

    def quiet(name):
        until(name + " (until ended)", lambda: client.get_fault_operation_list(state_filter=3), lambda came: came == [])

    call("restart_node", lambda: client.restart_node(node))
    quiet("restart_node")
    until("restart_node (up)", lambda: is_up(node), lambda came: came)
    refused("restart_node (another instance)", lambda: client.restart_node(node, node_instance_id="7"), "FABRIC_E_INSTANCE_ID_MISMATCH", 409)
    refused("restart_node (none)", lambda: client.restart_node("nope"), "FABRIC_E_NODE_NOT_FOUND", 404)
    call("disable_node", lambda: client.disable_node(node, deactivation_intent="Restart"))
    until("disable_node (Disabled)", lambda: client.get_node_info(node).node_status, lambda came: came == "Disabled")
    info = client.get_node_info(node).node_deactivation_info
    tell("disable_node (info)", info.node_deactivation_intent == "Restart" and missing(info) == [] and len(info.node_deactivation_task) == 1, info)
    call("enable_node", lambda: client.enable_node(node))
    quiet("enable_node")
    until("enable_node (up)", lambda: is_up(node), lambda came: came)
    second = replica("ActiveSecondary")
    call("restart_replica", lambda: client.restart_replica(second.node_name, partition, second.replica_id))
    quiet("restart_replica")
    if simulated:
        call("remove_replica", lambda: client.remove_replica(second.node_name, partition, second.replica_id))
    else:
        refused("remove_replica", lambda: client.remove_replica(second.node_name, partition, second.replica_id), "FABRIC_E_INVALID_OPERATION", 400)
    quiet("remove_replica")
    refused("restart_replica (none)", lambda: client.restart_replica(second.node_name, partition, "1"), "FABRIC_E_REPLICA_DOES_NOT_EXIST", 404)


browse()
events()
one_call()
