"""Calls a worker with Microsoft's own Python client and prints what the client made of the answers, as JSON.

Arguments: endpoint, stage (one of the keys of `stages`), service id, partition id, operation id.
"""

import json
import sys

from azure.servicefabric import ServiceFabricClientAPIs
from azure.servicefabric.models import FabricErrorException
from msrest.authentication import Authentication

endpoint, stage, service, partition, operation = sys.argv[1:6]
client = ServiceFabricClientAPIs(Authentication(), base_url=endpoint)
client.config.retry_policy.policy.total = 0


def code(call):
    try:
        call()
        return "no error"
    except FabricErrorException as raised:
        return [raised.error.error.code, raised.response.status_code, type(raised.error).__name__]


def start(mode="QuorumReplicas", duration=60, of=service):
    return client.start_quorum_loss(of, partition, operation, mode, duration)


def progress(of=service):
    found = client.get_quorum_loss_progress(of, partition, operation)
    result = found.invoke_quorum_loss_result
    return {
        "state": found.state,
        "result": None
        if result is None
        else [
            result.error_code,
            result.selected_partition.service_name,
            result.selected_partition.partition_id,
        ],
    }


def operations(**filters):
    return [[one.operation_id, one.state, one.type] for one in client.get_fault_operation_list(**filters)]


def partitions():
    return [
        [
            type(one).__name__,
            one.partition_information.id,
            type(one.partition_information).__name__,
            one.partition_status,
            one.health_state,
            one.target_replica_set_size,
            one.min_replica_set_size,
            one.last_quorum_loss_duration.total_seconds() >= 0,
            one.primary_epoch.data_loss_version,
        ]
        for one in client.get_partition_info_list(service).items
    ]


def replica(one):
    return [type(one).__name__, one.replica_id, one.replica_role, one.replica_status, one.node_name, one.address]


def begin():
    return {
        "unknown": code(progress),
        "badMode": code(lambda: start(mode="Bogus")),
        "badDuration": code(lambda: start(duration=-5)),
        "start": start(),
        "again": code(start),
        "progress": progress(),
        "progressBySlash": progress(service.replace("~", "/")),
        "forceFirst": code(lambda: client.cancel_operation(operation, force=True)),
        "operations": operations(),
        "filteredOut": operations(type_filter=1),
    }


def browse():
    application = client.get_application_info_list().items[0]
    services = client.get_service_info_list(application.id).items
    description = client.get_service_description(service)
    replicas = client.get_replica_info_list(partition).items
    node = client.get_node_info_list().items[0]
    health = client.get_cluster_health()
    one = client.get_partition_info(partition)
    return {
        "version": client.get_cluster_version().version,
        "manifest": client.get_cluster_manifest().manifest.startswith("<?xml"),
        "health": [health.aggregated_health_state, len(health.node_health_states), len(health.application_health_states)],
        "statistics": [
            [entry.entity_kind, entry.health_state_count.ok_count]
            for entry in health.health_statistics.health_state_count_list
        ],
        "nodes": [found.name for found in client.get_node_info_list().items],
        "nodePages": pages(),
        "node": [node.node_status, node.health_state, node.id.id == client.get_node_info(node.name).id.id, int(node.instance_id) > 0],
        "noNode": client.get_node_info("nope"),
        "application": [application.id, application.name, application.status, application.type_name],
        "sameApplication": client.get_application_info(application.id).name,
        "noApplication": client.get_application_info("nope"),
        "services": [[type(found).__name__, found.id, found.name, found.has_persisted_state] for found in services],
        "service": type(client.get_service_info(application.id, services[0].id)).__name__,
        "description": [
            type(description).__name__,
            description.service_name,
            type(description.partition_description).__name__,
            description.target_replica_set_size,
            description.min_replica_set_size,
        ],
        "applicationName": client.get_application_name_info(service).name,
        "partitions": partitions(),
        "partition": [type(one).__name__, one.partition_status],
        "noPartition": client.get_partition_info("00000000-0000-0000-0000-000000000000"),
        "serviceName": [client.get_service_name_info(partition).id, client.get_service_name_info(partition).name],
        "replicas": [replica(found) for found in replicas],
        "replica": replica(client.get_replica_info(partition, replicas[0].replica_id)) == replica(replicas[0]),
        "noService": code(lambda: client.get_partition_info_list("no~such")),
        "noReplicas": code(lambda: client.get_replica_info_list("00000000-0000-0000-0000-000000000000")),
    }


def pages():
    names, token = [], None
    while token != "":
        page = client.get_node_info_list(continuation_token=token, max_results=2)
        names.extend(found.name for found in page.items)
        token = page.continuation_token
    return names


def end():
    return {
        "progress": progress(),
        "operations": operations(state_filter=8),
        "partitions": partitions(),
        "cancel": code(lambda: client.cancel_operation(operation)),
    }


def cancel():
    return {
        "start": start(),
        "cancel": client.cancel_operation(operation),
        "progress": progress(),
        "operations": operations(state_filter=32),
    }


def faults():
    """Data loss, restart and node transition, as far as their first and their last answers; `operation` is a prefix."""
    ids = [operation[:-1] + digit for digit in "345"]
    node = client.get_node_info_list().items[0]
    return {
        "starts": [
            client.start_data_loss(service, partition, ids[0], "PartialDataLoss"),
            client.start_partition_restart(service, partition, ids[1], "OnlyActiveSecondaries"),
            client.start_node_transition(node.name, ids[2], "Stop", node.instance_id, 300),
        ],
        "again": code(lambda: client.start_node_transition(node.name, ids[2], "Stop", node.instance_id, 300)),
        "progress": progresses(ids),
        "wrong": code(lambda: client.get_data_loss_progress(service, partition, ids[1])),
        "cancels": [client.cancel_operation(one) for one in ids],
        "cancelled": progresses(ids),
        "operations": operations(type_filter=13),
        "recovered": [
            client.recover_partition(partition),
            client.recover_service_partitions(service),
            client.recover_system_partitions(),
            client.recover_all_partitions(),
        ],
    }


def progresses(ids):
    return [
        [type(one).__name__, one.state]
        for one in [
            client.get_data_loss_progress(service, partition, ids[0]),
            client.get_partition_restart_progress(service, partition, ids[1]),
            client.get_node_transition_progress("any", ids[2]),
        ]
    ]


def results():
    """What a finished data loss, restart and node transition say; `operation` is a prefix."""
    ids = [operation[:-1] + digit for digit in "345"]
    loss = client.get_data_loss_progress(service, partition, ids[0]).invoke_data_loss_result
    restart = client.get_partition_restart_progress(service, partition, ids[1]).restart_partition_result
    node = client.get_node_transition_progress("any", ids[2]).node_transition_result
    return [
        [loss.error_code, loss.selected_partition.service_name, loss.selected_partition.partition_id],
        [restart.error_code, restart.selected_partition.service_name, restart.selected_partition.partition_id],
        [node.error_code, node.node_result.node_name, int(node.node_result.node_instance_id) > 0],
    ]


stages = {"begin": begin, "browse": browse, "end": end, "cancel": cancel, "faults": faults, "results": results}
print(json.dumps(stages[stage]()))
