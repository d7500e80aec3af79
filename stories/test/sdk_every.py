"""Walks with Microsoft's own Python client what both the simulated and the real clusters are to answer alike: every kind of
fault, each to its end, with what it is refused for; health; recovery; chaos and its schedule.

Arguments: endpoint, service id, partition id, `simulated` or `real`. Prints what `sdk_recorder` says.
"""

import datetime
import sys
import uuid

from azure.servicefabric import models
from sdk_recorder import Recorded, call, refused, tell, until

endpoint, service, partition, system = sys.argv[1:5]
client = Recorded(endpoint)
application = service.split("~")[0]
nil = "00000000-0000-0000-0000-000000000000"
simulated = system == "simulated"


def fresh():
    return str(uuid.uuid4())


def is_over(came):
    return came.state not in ("Running", "RollingBack")


def ended(name, progress, state, code=0):
    """Waits until an operation has ended, and says whether it did so as wanted."""
    came = until(name + " (until ended)", progress, is_over)
    result = [value for key, value in vars(came).items() if key.endswith("_result") and value is not None]
    tell(name + " (%s, %d)" % (state, code), came.state == state and [one.error_code for one in result] == [code], [came.state, result])
    return result[0] if result else None


def whole():
    until("whole again", lambda: [one.health_state for one in client.get_replica_info_list(partition).items], lambda came: came == ["Ok"] * len(came) and len(came) >= 3)


def secondary():
    replicas = client.get_replica_info_list(partition).items
    return next(one for one in replicas if one.replica_role == "ActiveSecondary")


def health():
    replica = secondary()
    call("get_cluster_health", lambda: client.get_cluster_health(nodes_health_state_filter=2, applications_health_state_filter=65535), lambda came: came.aggregated_health_state == "Ok" and len(came.node_health_states) >= 3)
    call("get_node_health", lambda: client.get_node_health(replica.node_name), lambda came: came.aggregated_health_state == "Ok" and came.name == replica.node_name)
    call("get_application_health", lambda: client.get_application_health(application), lambda came: came.aggregated_health_state == "Ok" and came.name == "fabric:/" + application)
    call("get_service_health", lambda: client.get_service_health(service), lambda came: came.aggregated_health_state == "Ok" and len(came.partition_health_states) >= 1)
    call("get_partition_health", lambda: client.get_partition_health(partition), lambda came: came.aggregated_health_state == "Ok" and len(came.replica_health_states) == 3)
    call("get_replica_health", lambda: client.get_replica_health(partition, replica.replica_id), lambda came: came.aggregated_health_state == "Ok" and came.replica_id == replica.replica_id)
    unknown = "FABRIC_E_HEALTH_ENTITY_NOT_FOUND"
    refused("get_node_health (none)", lambda: client.get_node_health("nope"), unknown, 404)
    refused("get_application_health (none)", lambda: client.get_application_health("nope"), unknown, 404)
    refused("get_service_health (none)", lambda: client.get_service_health("no~such"), unknown, 404)
    refused("get_partition_health (none)", lambda: client.get_partition_health(nil), unknown, 404)
    refused("get_replica_health (none)", lambda: client.get_replica_health(partition, "1"), unknown, 404)
    call("get_aad_metadata", client.get_aad_metadata, lambda came: came.type == "none" and came.metadata is None)


def restarts():
    def start(operation, mode="AllReplicasOrInstances", of=service, at=partition):
        return client.start_partition_restart(of, at, operation, mode)

    def progress(operation):
        return lambda: client.get_partition_restart_progress(service, partition, operation)

    first = fresh()
    refused("start_partition_restart (mode)", lambda: start(first, "Bogus"), "E_INVALIDARG", 400)
    refused("start_partition_restart (id)", lambda: start("notaguid"), "E_INVALIDARG", 400)
    refused("get_partition_restart_progress (none)", progress(first), "FABRIC_E_KEY_NOT_FOUND", 404)
    for mode in ["AllReplicasOrInstances", "OnlyActiveSecondaries"]:
        operation = fresh()
        call("start_partition_restart (%s)" % mode, lambda: start(operation, mode))
        refused("start_partition_restart (again)", lambda: start(operation, mode), "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS", 409)
        result = ended("get_partition_restart_progress", progress(operation), "Completed")
        tell("selected partition", [result.selected_partition.service_name, result.selected_partition.partition_id] == ["fabric:/" + service.replace("~", "/"), partition], result)
        refused("get_quorum_loss_progress (of a restart)", lambda: client.get_quorum_loss_progress(service, partition, operation), "FABRIC_E_KEY_NOT_FOUND", 404)
        call("get_fault_operation_list (PartitionRestart)", lambda: client.get_fault_operation_list(type_filter=4), lambda came: came[-1].operation_id == operation and came[-1].type == "PartitionRestart" and came[-1].state == "Completed")
        whole()
    operation = fresh()
    call("start_partition_restart (no service)", lambda: start(operation, of="no~such"))
    ended("get_partition_restart_progress", progress(operation), "Faulted", -2147017779)
    operation = fresh()
    call("start_partition_restart (no partition)", lambda: start(operation, at=nil))
    ended("get_partition_restart_progress", progress(operation), "Faulted", -2147017753)


def data_loss():
    def start(operation, mode, of=service):
        return client.start_data_loss(of, partition, operation, mode)

    def progress(operation):
        return lambda: client.get_data_loss_progress(service, partition, operation)

    refused("start_data_loss (mode)", lambda: start(fresh(), "Bogus"), "E_INVALIDARG", 400)
    refused("get_data_loss_progress (none)", progress(fresh()), "FABRIC_E_KEY_NOT_FOUND", 404)
    for mode in ["PartialDataLoss", "FullDataLoss"]:
        operation = fresh()
        call("start_data_loss (%s)" % mode, lambda: start(operation, mode))
        # The data of a real system is not ours to destroy.
        ended("get_data_loss_progress", progress(operation), *(["Completed"] if simulated else ["Faulted", -2147017731]))
    operation = fresh()
    call("start_data_loss (no service)", lambda: start(operation, mode, "no~such"))
    ended("get_data_loss_progress", progress(operation), "Faulted", -2147017779)
    call("get_fault_operation_list (PartitionDataLoss)", lambda: client.get_fault_operation_list(type_filter=1), lambda came: [one.type for one in came[-3:]] == ["PartitionDataLoss"] * 3)
    whole()


def nodes():
    name = secondary().node_name

    def instance():
        return client.get_node_info(name).instance_id

    def transition(operation, kind, of=name, number=None, seconds=300):
        return client.start_node_transition(of, operation, kind, number or instance(), seconds)

    def progress(operation, of=name):
        return lambda: client.get_node_transition_progress(of, operation)

    refused("start_node_transition (type)", lambda: transition(fresh(), "Bogus"), "E_INVALIDARG", 400)
    refused("start_node_transition (instance 0)", lambda: transition(fresh(), "Stop", number="0"), "FABRIC_E_INVALID_INSTANCE_ID", 400)
    refused("start_node_transition (too short)", lambda: transition(fresh(), "Stop", seconds=299), "FABRIC_E_INVALID_DURATION", 400)
    refused("start_node_transition (too long)", lambda: transition(fresh(), "Stop", seconds=14401), "FABRIC_E_INVALID_DURATION", 400)
    refused("get_node_transition_progress (none)", progress(fresh()), "FABRIC_E_KEY_NOT_FOUND", 404)
    for what, kind, of, number, code in [
        ("no node", "Stop", "nope", "1", -2147017789),
        ("another instance", "Stop", name, "7", -2147017680),
        ("a running one", "Start", name, None, -2147017788),
    ]:
        operation = fresh()
        call("start_node_transition (%s)" % what, lambda: transition(operation, kind, of, number))
        ended("get_node_transition_progress", progress(operation, of), "Faulted", code)
    before = instance()
    stop = fresh()
    call("start_node_transition (Stop)", lambda: transition(stop, "Stop"))
    result = ended("get_node_transition_progress", progress(stop), "Completed")
    tell("node result", [result.node_result.node_name, result.node_result.node_instance_id] == [name, before], result)
    until("get_node_info (Down)", lambda: client.get_node_info(name), lambda came: [came.node_status, came.is_stopped] == ["Down", True])
    call("get_node_info_list (down)", lambda: client.get_node_info_list(node_status_filter="down"), lambda came: [one.name for one in came.items] == [name])
    call("get_node_health (Down)", lambda: client.get_node_health(name), lambda came: came.aggregated_health_state == "Error")
    operation = fresh()
    call("start_node_transition (Stop, again)", lambda: transition(operation, "Stop"))
    ended("get_node_transition_progress", progress(operation), "Faulted", -2147017634)
    operation = fresh()
    call("start_node_transition (Start)", lambda: transition(operation, "Start", seconds=0))
    ended("get_node_transition_progress", progress(operation), "Completed")
    until("get_node_info (Up)", lambda: client.get_node_info(name), lambda came: [came.node_status, came.is_stopped] == ["Up", False])
    call("get_fault_operation_list (NodeTransition)", lambda: client.get_fault_operation_list(type_filter=8, state_filter=8), lambda came: [one.operation_id for one in came[-2:]] == [stop, operation])
    whole()


def recover():
    call("recover_partition", lambda: client.recover_partition(partition))
    call("recover_service_partitions", lambda: client.recover_service_partitions(service))
    call("recover_system_partitions", client.recover_system_partitions)
    call("recover_all_partitions", client.recover_all_partitions)
    refused("recover_partition (none)", lambda: client.recover_partition(nil), "FABRIC_E_PARTITION_NOT_FOUND", 404)


def file_time(year):
    since = datetime.datetime(year, 1, 1) - datetime.datetime(1601, 1, 1)
    return str(int(since.total_seconds()) * 10**7)


def chaos():
    # Long between one fault and the next: that it may be begun and ended is what is asked here, not what it draws.
    parameters = models.ChaosParameters(
        time_to_run_in_seconds="600",
        enable_move_replica_faults=False,
        wait_time_between_iterations_in_seconds=600,
        context=models.ChaosContext(map={"walked": "by the client"}),
        chaos_target_filter=models.ChaosTargetFilter(application_inclusion_list=["fabric:/" + application]),
    )
    call("get_chaos (before)", client.get_chaos, lambda came: came.status in ("None", "Stopped", "Invalid"))
    refused("start_chaos (no such application)", lambda: client.start_chaos(models.ChaosParameters(chaos_target_filter=models.ChaosTargetFilter(application_inclusion_list=["fabric:/Nope"]))), "E_INVALIDARG", 400)
    call("start_chaos", lambda: client.start_chaos(parameters))
    refused("start_chaos (again)", lambda: client.start_chaos(parameters), "FABRIC_E_CHAOS_ALREADY_RUNNING", 400)
    call("get_chaos (Running)", client.get_chaos, lambda came: came.status == "Running" and came.chaos_parameters.context.map == {"walked": "by the client"})
    refused("post_chaos_schedule (while it runs)", lambda: client.post_chaos_schedule(version=0, schedule=models.ChaosSchedule()), "FABRIC_E_CHAOS_ALREADY_RUNNING", 400)
    call("stop_chaos", client.stop_chaos)
    until("get_chaos (until Stopped)", client.get_chaos, lambda came: came.status == "Stopped")
    call("stop_chaos (again)", client.stop_chaos)
    history = call("get_chaos_events", client.get_chaos_events, lambda came: {"StartedChaosEvent", "StoppedChaosEvent"} <= {type(one.chaos_event).__name__ for one in came.history}).history
    page = call("get_chaos_events (one)", lambda: client.get_chaos_events(max_results=1), lambda came: len(came.history) == 1 and came.continuation_token != "")
    call("get_chaos_events (on)", lambda: client.get_chaos_events(continuation_token=page.continuation_token), lambda came: len(came.history) == len(history) - 1)
    call("get_chaos_events (of a time)", lambda: client.get_chaos_events(start_time_utc=file_time(2001), end_time_utc=file_time(2002)), lambda came: came.history == [])
    refused("get_chaos_events (token and time)", lambda: client.get_chaos_events(continuation_token=page.continuation_token, start_time_utc=file_time(2001)), "E_INVALIDARG", 400)
    found = call("get_chaos_schedule", client.get_chaos_schedule, lambda came: came.version >= 0)
    far = models.ChaosSchedule(
        start_date=datetime.datetime(2990, 1, 1),
        expiry_date=datetime.datetime(2999, 1, 1),
        chaos_parameters_dictionary=[models.ChaosParametersDictionaryItem(key="calm", value=parameters)],
        jobs=[
            models.ChaosScheduleJob(
                chaos_parameters="calm",
                days=models.ChaosScheduleJobActiveDaysOfWeek(monday=True),
                times=[models.TimeRange(start_time=models.TimeOfDay(hour=1, minute=0), end_time=models.TimeOfDay(hour=2, minute=0))],
            )
        ],
    )
    refused("post_chaos_schedule (version)", lambda: client.post_chaos_schedule(version=found.version + 7, schedule=far), "E_INVALIDARG", 400)
    call("post_chaos_schedule", lambda: client.post_chaos_schedule(version=found.version, schedule=far))
    call("get_chaos_schedule (stored)", client.get_chaos_schedule, lambda came: came.version == found.version + 1 and came.schedule.jobs[0].days.monday is True)
    call("stop_chaos (the schedule)", client.stop_chaos)
    whole()


# What ran before may have ended before the last member was seen up.
until("all well at first", lambda: client.get_cluster_health().aggregated_health_state, lambda came: came == "Ok")
health()
restarts()
data_loss()
nodes()
recover()
chaos()
until("all well", lambda: client.get_cluster_health().aggregated_health_state, lambda came: came == "Ok")
