"""Asks a worker that serves a simulated cluster every query call of Microsoft's own Python client, breaks it in each of
the four ways, and says of every call whether it came back right.

Arguments: endpoint. Prints one line of JSON for each call: name, whether it passed, what came.
"""

import json
import sys
import time
import uuid

from azure.servicefabric import models
from azure.servicefabric.models import FabricErrorException
from sdk_recorder import Recorded

client = Recorded(sys.argv[1])
nil = "00000000-0000-0000-0000-000000000000"


def tell(name, passed, came):
    print(json.dumps([name, bool(passed), str(came)[:400]]), flush=True)


def call(name, run, right):
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


def pages(run):
    """All items of a list, two at a time or however many the server gives."""
    items, token = [], None
    while token != "":
        page = run(token)
        items.extend(page.items)
        token = page.continuation_token
    return items


def cluster():
    call("version", client.get_cluster_version, lambda came: came.version.startswith("8.2"))
    call("manifest", client.get_cluster_manifest, lambda came: came.manifest.count("<Node ") == 5)
    nodes = call("nodes", client.get_node_info_list, lambda came: len(came.items) == 5).items
    node = nodes[0]
    tell("node type", isinstance(node, models.NodeInfo), node)
    tell("node ids in order", [one.id.id for one in nodes] == sorted(one.id.id for one in nodes), nodes)
    tell("node facts", node.type.startswith("NodeType") and node.fault_domain.startswith("fd:/"), node)
    tell("node up", node.node_status == "Up" and node.health_state == "Ok" and node.is_stopped is False, node)
    tell("node times", node.node_up_at.year > 2000 and int(node.node_up_time_in_seconds) >= 0, node)
    tell("node deactivation", node.node_deactivation_info.node_deactivation_intent == "Invalid", node)
    tell("seed nodes", sum(one.is_seed_node for one in nodes) == 3, nodes)
    paged = pages(lambda token: client.get_node_info_list(continuation_token=token, max_results=2))
    tell("node pages", [one.name for one in paged] == [one.name for one in nodes], len(paged))
    for word, count in [("up", 5), ("down", 0), ("all", 5), ("default", 5), ("disabled", 0), ("removed", 0)]:
        call("nodes " + word, lambda: client.get_node_info_list(node_status_filter=word), lambda came: len(came.items) == count)
    refused("nodes bogus", lambda: client.get_node_info_list(node_status_filter="1"), "E_INVALIDARG", 400)
    refused("nodes bad token", lambda: client.get_node_info_list(continuation_token="zz"), "E_INVALIDARG", 400)
    call("node", lambda: client.get_node_info(node.name), lambda came: came.instance_id == node.instance_id)
    call("no node", lambda: client.get_node_info("nope"), lambda came: came is None)
    return node


def applications():
    found = call("applications", client.get_application_info_list, lambda came: [one.name for one in came.items] == ["fabric:/Bank", "fabric:/Shop"]).items
    shop = found[1]
    tell("application", [shop.id, shop.type_name, shop.type_version, shop.status] == ["Shop", "ShopType", "1.0.0", "Ready"], shop)
    tell("application parameters", {one.key: one.value for one in shop.parameters}["Web_InstanceCount"] == "3", shop)
    call("application pages", lambda: pages(lambda token: client.get_application_info_list(continuation_token=token, max_results=1)), lambda came: len(came) == 2)
    call("applications by type", lambda: client.get_application_info_list(application_type_name="BankType"), lambda came: len(came.items) == 1)
    call("compose applications", lambda: client.get_application_info_list(application_definition_kind_filter=2), lambda came: came.items == [])
    call("application without parameters", lambda: client.get_application_info("Shop", exclude_application_parameters=True), lambda came: came.parameters == [])
    call("no application", lambda: client.get_application_info("nope"), lambda came: came is None)


def services():
    found = call("services", lambda: client.get_service_info_list("Shop"), lambda came: len(came.items) == 5).items
    kinds = {one.name.split("/")[-1]: one for one in found}
    tell("stateful persisted", isinstance(kinds["Orders"], models.StatefulServiceInfo) and kinds["Orders"].has_persisted_state, kinds["Orders"])
    tell("stateful volatile", isinstance(kinds["Carts"], models.StatefulServiceInfo) and kinds["Carts"].has_persisted_state is False, kinds["Carts"])
    tell("stateless", isinstance(kinds["Web"], models.StatelessServiceInfo), kinds["Web"])
    tell("service id", kinds["Ledger"].id == "Shop~Ledger" and kinds["Ledger"].service_status == "Active", kinds["Ledger"])
    call("services by type", lambda: client.get_service_info_list("Shop", service_type_name="WebType"), lambda came: len(came.items) == 1)
    call("service", lambda: client.get_service_info("Shop", "Shop~Web"), lambda came: isinstance(came, models.StatelessServiceInfo))
    call("service by slash", lambda: client.get_service_info("Shop", "Shop/Web"), lambda came: came.name == "fabric:/Shop/Web")
    call("service of another application", lambda: client.get_service_info("Bank", "Shop~Web"), lambda came: came is None)
    refused("services of none", lambda: client.get_service_info_list("nope"), "FABRIC_E_APPLICATION_NOT_FOUND", 404)
    call("system services", lambda: client.get_service_info_list("System"), lambda came: [one.name for one in came.items] == ["fabric:/System/" + name for name in ("ClusterManagerService", "FailoverManagerService", "FaultAnalysisService", "NamingService")])
    call("system partitions", lambda: client.get_partition_info_list("System~FaultAnalysisService"), lambda came: came.items[0].partition_status == "Ready")
    call("application name", lambda: client.get_application_name_info("Shop~Web"), lambda came: [came.id, came.name] == ["Shop", "fabric:/Shop"])
    refused("application name of none", lambda: client.get_application_name_info("Shop~nope"), "FABRIC_E_SERVICE_DOES_NOT_EXIST", 404)
    described = call("stateful description", lambda: client.get_service_description("Shop~Orders"), lambda came: isinstance(came, models.StatefulServiceDescription))
    tell("replica set", [described.target_replica_set_size, described.min_replica_set_size, described.has_persisted_state] == [3, 2, True], described)
    tell("singleton scheme", isinstance(described.partition_description, models.SingletonPartitionSchemeDescription), described)
    call("ranged description", lambda: client.get_service_description("Shop~Ledger"), lambda came: isinstance(came.partition_description, models.UniformInt64RangePartitionSchemeDescription)
        and [came.partition_description.count, came.partition_description.low_key, came.partition_description.high_key] == [4, "-9223372036854775808", "9223372036854775807"])
    call("named description", lambda: client.get_service_description("Shop~Regions"), lambda came: isinstance(came.partition_description, models.NamedPartitionSchemeDescription)
        and came.partition_description.names == ["north", "south"])
    call("stateless description", lambda: client.get_service_description("Shop~Web"), lambda came: isinstance(came, models.StatelessServiceDescription) and came.instance_count == 3)
    refused("description of none", lambda: client.get_service_description("Shop~nope"), "FABRIC_E_SERVICE_DOES_NOT_EXIST", 404)


def partitions():
    one = call("singleton partition", lambda: client.get_partition_info_list("Shop~Orders"), lambda came: len(came.items) == 1).items[0]
    tell("stateful partition", isinstance(one, models.StatefulServicePartitionInfo) and isinstance(one.partition_information, models.SingletonPartitionInformation), one)
    tell("partition sizes", [one.target_replica_set_size, one.min_replica_set_size, one.partition_status] == [3, 2, "Ready"], one)
    tell("epoch", [one.primary_epoch.configuration_version, one.primary_epoch.data_loss_version] == ["1", "1"], one)
    tell("no loss", one.last_quorum_loss_duration.total_seconds() == 0, one)
    ranged = call("ranged partitions", lambda: client.get_partition_info_list("Shop~Ledger"), lambda came: len(came.items) == 4).items
    keys = sorted((int(part.partition_information.low_key), int(part.partition_information.high_key)) for part in ranged)
    tell("ranges", isinstance(ranged[0].partition_information, models.Int64RangePartitionInformation) and all(a[1] + 1 == b[0] for a, b in zip(keys, keys[1:])), keys)
    tell("partitions in order", [part.partition_information.id for part in ranged] == sorted(part.partition_information.id for part in ranged), ranged)
    token = ranged[1].partition_information.id
    call("partitions after a token", lambda: client.get_partition_info_list("Shop~Ledger", continuation_token=token), lambda came: len(came.items) == 2)
    named = call("named partitions", lambda: client.get_partition_info_list("Shop~Regions"), lambda came: len(came.items) == 2).items
    tell("names", sorted(part.partition_information.name for part in named) == ["north", "south"], named)
    web = call("stateless partition", lambda: client.get_partition_info_list("Shop~Web"), lambda came: isinstance(came.items[0], models.StatelessServicePartitionInfo) and came.items[0].instance_count == 3).items[0]
    refused("partitions of none", lambda: client.get_partition_info_list("Shop~nope"), "FABRIC_E_SERVICE_DOES_NOT_EXIST", 404)
    identity = one.partition_information.id
    call("partition", lambda: client.get_partition_info(identity), lambda came: isinstance(came, models.StatefulServicePartitionInfo) and came.primary_epoch is not None)
    call("no partition", lambda: client.get_partition_info(nil), lambda came: came is None)
    call("service name", lambda: client.get_service_name_info(identity), lambda came: [came.id, came.name] == ["Shop~Orders", "fabric:/Shop/Orders"])
    refused("service name of none", lambda: client.get_service_name_info(nil), "FABRIC_E_PARTITION_NOT_FOUND", 404)
    replicas = call("replicas", lambda: client.get_replica_info_list(identity), lambda came: len(came.items) == 3).items
    tell("replica", isinstance(replicas[0], models.StatefulServiceReplicaInfo) and int(replicas[0].replica_id) > 0, replicas[0])
    tell("roles", sorted(part.replica_role for part in replicas) == ["ActiveSecondary", "ActiveSecondary", "Primary"], replicas)
    tell("replicas in order", [int(part.replica_id) for part in replicas] == sorted(int(part.replica_id) for part in replicas), replicas)
    call("replicas after a token", lambda: client.get_replica_info_list(identity, continuation_token=replicas[0].replica_id), lambda came: len(came.items) == 2)
    call("one replica", lambda: client.get_replica_info(identity, replicas[0].replica_id), lambda came: came.node_name == replicas[0].node_name)
    call("no replica", lambda: client.get_replica_info(identity, "1"), lambda came: came is None)
    refused("replica 0", lambda: client.get_replica_info(identity, "0"), "E_INVALIDARG", 400)
    refused("replicas of none", lambda: client.get_replica_info_list(nil), "FABRIC_E_PARTITION_NOT_FOUND", 404)
    call("instances", lambda: client.get_replica_info_list(web.partition_information.id), lambda came: isinstance(came.items[0], models.StatelessServiceInstanceInfo) and int(came.items[0].instance_id) > 0)
    return identity, replicas, web.partition_information.id


def healths(node, identity, replicas, web):
    whole = call("cluster health", client.get_cluster_health, lambda came: came.aggregated_health_state == "Ok")
    # The system's application is among the states, and in no statistics unless asked for.
    names = sorted(one.name for one in whole.application_health_states)
    tell("health states", [len(whole.node_health_states), names] == [5, ["fabric:/Bank", "fabric:/Shop", "fabric:/System"]], whole)
    counts = {one.entity_kind: one.health_state_count.ok_count for one in whole.health_statistics.health_state_count_list}
    tell("statistics", counts == {"Node": 5, "Replica": 38, "Partition": 10, "Service": 6, "Application": 2}, counts)
    call("cluster health filtered", lambda: client.get_cluster_health(nodes_health_state_filter=8, applications_health_state_filter=1, exclude_health_statistics=True),
        lambda came: came.node_health_states == [] and came.application_health_states == [] and came.health_statistics is None)
    call("node health", lambda: client.get_node_health(node.name), lambda came: isinstance(came, models.NodeHealth) and came.health_events[0].source_id == "System.FM")
    call("node health without events", lambda: client.get_node_health(node.name, events_health_state_filter=1), lambda came: came.health_events == [])
    call("application health", lambda: client.get_application_health("Shop"), lambda came: len(came.service_health_states) == 5)
    call("service health", lambda: client.get_service_health("Shop~Ledger"), lambda came: len(came.partition_health_states) == 4)
    call("partition health", lambda: client.get_partition_health(identity), lambda came: isinstance(came.replica_health_states[0], models.StatefulServiceReplicaHealthState))
    call("replica health", lambda: client.get_replica_health(identity, replicas[0].replica_id), lambda came: isinstance(came, models.StatefulServiceReplicaHealth))
    call("stateless partition health", lambda: client.get_partition_health(web), lambda came: isinstance(came.replica_health_states[0], models.StatelessServiceInstanceHealthState))
    unknown = "FABRIC_E_HEALTH_ENTITY_NOT_FOUND"
    refused("health of no node", lambda: client.get_node_health("nope"), unknown, 404)
    refused("health of no application", lambda: client.get_application_health("nope"), unknown, 404)
    refused("health of no service", lambda: client.get_service_health("Shop~nope"), unknown, 404)
    refused("health of no partition", lambda: client.get_partition_health(nil), unknown, 404)
    refused("health of no replica", lambda: client.get_replica_health(identity, "1"), unknown, 404)


def ended(name, progress, wanted="Completed"):
    """Waits until an operation has ended, and says whether it did so as wanted."""
    for _ in range(150):
        came = progress()
        if came.state not in ("Running", "RollingBack"):
            break
        time.sleep(0.1)
    tell(name, came.state == wanted, came)
    return came


def until(name, look, right):
    """Asks again until it is right, and says whether it became so."""
    for _ in range(150):
        came = look()
        if right(came):
            break
        time.sleep(0.1)
    tell(name, right(came), came)
    return came


def status(identity):
    return client.get_partition_info(identity).partition_status


def quorum_loss(service, identity):
    operation = str(uuid.uuid4())
    call("start quorum loss", lambda: client.start_quorum_loss(service, identity, operation, "QuorumReplicas", 4), lambda came: came is None)
    until("in quorum loss", lambda: status(identity), lambda came: came == "InQuorumLoss")
    call("health in loss", lambda: client.get_partition_health(identity), lambda came: came.aggregated_health_state == "Error"
        and {one.health_evaluation.kind for one in came.unhealthy_evaluations} == {"Event", "Replicas"})
    call("cluster in loss", client.get_cluster_health, lambda came: isinstance(came.unhealthy_evaluations[0].health_evaluation, models.ApplicationsHealthEvaluation))
    call("replicas in loss", lambda: client.get_replica_info_list(identity), lambda came: "Down" in [one.replica_status for one in came.items])
    ended("quorum loss", lambda: client.get_quorum_loss_progress(service, identity, operation))
    call("after the loss", lambda: client.get_partition_info(identity), lambda came: came.partition_status == "Ready"
        and came.last_quorum_loss_duration.total_seconds() >= 4 and came.primary_epoch.data_loss_version == "1")


def kinds_refused(carts, web):
    for name, service, identity, code in [("volatile", "Shop~Carts", carts, -2147017615), ("stateless", "Shop~Web", web, -2147017616)]:
        operation = str(uuid.uuid4())
        client.start_quorum_loss(service, identity, operation, "QuorumReplicas", 1)
        came = ended("quorum loss of a %s service" % name, lambda: client.get_quorum_loss_progress(service, identity, operation), "Faulted")
        tell("code for a %s service" % name, came.invoke_quorum_loss_result.error_code == code, came)


def data_loss(service, identity):
    before = client.get_partition_info(identity).primary_epoch.data_loss_version
    operation = str(uuid.uuid4())
    call("start data loss", lambda: client.start_data_loss(service, identity, operation, "PartialDataLoss"), lambda came: came is None)
    ended("data loss", lambda: client.get_data_loss_progress(service, identity, operation))
    call("data loss number", lambda: client.get_partition_info(identity), lambda came: int(came.primary_epoch.data_loss_version) == int(before) + 1)


def restart(service, identity, mode):
    operation = str(uuid.uuid4())
    call("start restart " + mode, lambda: client.start_partition_restart(service, identity, operation, mode), lambda came: came is None)
    ended("restart %s of %s" % (mode, service), lambda: client.get_partition_restart_progress(service, identity, operation))


def transition(node):
    operation = str(uuid.uuid4())
    call("stop a node", lambda: client.start_node_transition(node.name, operation, "Stop", node.instance_id, 600), lambda came: came is None)
    ended("node stop", lambda: client.get_node_transition_progress(node.name, operation))
    call("stopped node", lambda: client.get_node_info(node.name), lambda came: [came.node_status, came.is_stopped, came.health_state] == ["Down", True, "Error"])
    call("nodes down", lambda: client.get_node_info_list(node_status_filter="down"), lambda came: [one.name for one in came.items] == [node.name])
    operation = str(uuid.uuid4())
    instance = client.get_node_info(node.name).instance_id
    call("start a node", lambda: client.start_node_transition(node.name, operation, "Start", instance, 0), lambda came: came is None)
    ended("node start", lambda: client.get_node_transition_progress(node.name, operation))
    call("started node", lambda: client.get_node_info(node.name), lambda came: [came.node_status, came.is_stopped] == ["Up", False] and came.instance_id != node.instance_id)


def recover(service, identity):
    before = int(client.get_partition_info(identity).primary_epoch.data_loss_version)
    operation = str(uuid.uuid4())
    client.start_quorum_loss(service, identity, operation, "QuorumReplicas", 60)
    until("in quorum loss again", lambda: status(identity), lambda came: came == "InQuorumLoss")
    call("recover", lambda: client.recover_partition(identity), lambda came: came is None)
    until("recovered", lambda: int(client.get_partition_info(identity).primary_epoch.data_loss_version), lambda came: came == before + 1)
    # One replica is left, which is below the minimum: nothing of ours was lifted, and writes wait for the others.
    call("below the minimum", lambda: status(identity), lambda came: came == "NotReady")
    call("cancel", lambda: client.cancel_operation(operation), lambda came: came is None)
    ended("a recovered loss", lambda: client.get_quorum_loss_progress(service, identity, operation), "Cancelled")
    until("whole again", lambda: [one.replica_status for one in client.get_replica_info_list(identity).items], lambda came: came == ["Ready"] * 3)
    refused("recover none", lambda: client.recover_partition(nil), "FABRIC_E_PARTITION_NOT_FOUND", 404)
    call("recover a service", lambda: client.recover_service_partitions(service), lambda came: came is None)
    call("recover all", client.recover_all_partitions, lambda came: came is None)
    call("recover system", client.recover_system_partitions, lambda came: came is None)


node = cluster()
applications()
services()
identity, replicas, web = partitions()
healths(node, identity, replicas, web)
quorum_loss("Shop~Orders", identity)
ledger = client.get_partition_info_list("Shop~Ledger").items[2].partition_information.id
quorum_loss("Shop/Ledger", ledger)
carts = client.get_partition_info_list("Shop~Carts").items[0].partition_information.id
kinds_refused(carts, web)
data_loss("Shop~Orders", identity)
for service, of in [("Shop~Orders", identity), ("Shop~Carts", carts), ("Shop~Web", web)]:
    restart(service, of, "AllReplicasOrInstances")
restart("Shop~Ledger", ledger, "OnlyActiveSecondaries")
transition(node)
accounts = client.get_partition_info_list("Bank~Accounts").items[0].partition_information.id
recover("Bank~Accounts", accounts)
until("all well", lambda: client.get_cluster_health().aggregated_health_state, lambda came: came == "Ok")
