"""Walks every chaos call with Microsoft's own Python client and prints what the client made of the answers, as JSON.

Arguments: endpoint, stage (one of the keys of `stages`).
"""

import datetime
import json
import sys

from azure.servicefabric import ServiceFabricClientAPIs
from azure.servicefabric import models
from msrest.authentication import Authentication

endpoint, stage = sys.argv[1:3]
client = ServiceFabricClientAPIs(Authentication(), base_url=endpoint)
client.config.retry_policy.policy.total = 0


def code(call):
    try:
        call()
        return "no error"
    except models.FabricErrorException as raised:
        return [raised.error.error.code, raised.response.status_code]


def parameters(**over):
    return models.ChaosParameters(
        time_to_run_in_seconds="600",
        max_concurrent_faults=2,
        context=models.ChaosContext(map={"k": "v"}),
        cluster_health_policy=models.ClusterHealthPolicy(
            consider_warning_as_error=False,
            application_type_health_policy_map=[models.ApplicationTypeHealthPolicyMapItem(key="T", value="10")],
        ),
        **over
    )


def known(found):
    return None if found is None else [
        found.time_to_run_in_seconds,
        found.max_concurrent_faults,
        found.wait_time_between_iterations_in_seconds,
        None if found.context is None else found.context.map,
        found.cluster_health_policy.consider_warning_as_error,
    ]


def get():
    found = client.get_chaos()
    return [found.status, found.schedule_status, known(found.chaos_parameters)]


def event(wrapper):
    found = wrapper.chaos_event
    return [
        type(found).__name__,
        isinstance(found.time_stamp_utc, datetime.datetime),
        getattr(found, "reason", None),
        getattr(found, "faults", None),
        known(getattr(found, "chaos_parameters", None)),
    ]


def file_time(year):
    since = datetime.datetime(year, 1, 1) - datetime.datetime(1601, 1, 1)
    return str(int(since.total_seconds()) * 10**7)


def described():
    found = client.get_chaos_schedule()
    return [
        found.version,
        found.schedule.start_date.isoformat(),
        [item.key for item in found.schedule.chaos_parameters_dictionary],
        [[job.chaos_parameters, job.days.monday, job.days.sunday, job.times[0].end_time.hour] for job in found.schedule.jobs],
    ]


def begin():
    filtered = parameters(chaos_target_filter=models.ChaosTargetFilter(application_inclusion_list=["fabric:/nope"]))
    empty = parameters(chaos_target_filter=models.ChaosTargetFilter(node_type_inclusion_list=[]))
    return {
        "before": get(),
        "schedule": described(),
        "stopBefore": client.stop_chaos(),
        "unknown": code(lambda: client.start_chaos(filtered)),
        "empty": code(lambda: client.start_chaos(empty)),
        "start": client.start_chaos(parameters()),
        "again": code(lambda: client.start_chaos(parameters())),
        "running": get(),
        "scheduleWhileRunning": code(lambda: client.post_chaos_schedule(version=1, schedule=models.ChaosSchedule())),
        "adhoc": described(),
    }


def events():
    pages, token = [], None
    while token != "":
        page = client.get_chaos_events(continuation_token=token, max_results=2)
        pages.append([event(found)[0] for found in page.history])
        token = page.continuation_token
    return {
        "all": [event(found) for found in client.get_chaos_events().history],
        "pages": pages,
        "within": len(client.get_chaos_events(start_time_utc=file_time(1990), end_time_utc=file_time(2100)).history),
        "before": len(client.get_chaos_events(start_time_utc=file_time(1990), end_time_utc=file_time(2000)).history),
        "both": code(lambda: client.get_chaos_events(continuation_token="1_n_n", start_time_utc=file_time(1990))),
        "badTime": code(lambda: client.get_chaos_events(start_time_utc="yesterday")),
        "badToken": code(lambda: client.get_chaos_events(continuation_token="x")),
    }


def end():
    stopped = client.stop_chaos()
    schedule = models.ChaosSchedule(
        start_date=datetime.datetime(2026, 1, 1),
        expiry_date=datetime.datetime(2999, 1, 1),
        chaos_parameters_dictionary=[models.ChaosParametersDictionaryItem(key="p", value=parameters())],
        jobs=[
            models.ChaosScheduleJob(
                chaos_parameters="p",
                days=models.ChaosScheduleJobActiveDaysOfWeek(monday=True),
                times=[models.TimeRange(start_time=models.TimeOfDay(hour=1, minute=0), end_time=models.TimeOfDay(hour=2, minute=30))],
            )
        ],
    )
    wrong = models.ChaosSchedule(
        start_date=datetime.datetime(2026, 1, 1), expiry_date=datetime.datetime(2025, 1, 1)
    )
    return {
        "stop": stopped,
        "stopped": get(),
        "oldVersion": code(lambda: client.post_chaos_schedule(version=0, schedule=schedule)),
        "wrong": code(lambda: client.post_chaos_schedule(version=1, schedule=wrong)),
        "set": client.post_chaos_schedule(version=1, schedule=schedule),
        "schedule": described(),
        "after": get()[:2],
    }


stages = {"begin": begin, "events": events, "end": end}
print(json.dumps(stages[stage]()))
