"""12/CIP, command invocation: any caller and the agent that delivers commands (CEX).

The caller chooses `command_id`; endpoint, type and id together are the command's identity.
"""

from kaa.core.messages import Int, Long, message
from kaa.core.subjects import RequestSubject, Subject
from kaa.protocols.ism import request, to_replica
from kaa.protocols.names import AppVersionName, EndpointId

_NAMESPACE = "org.kaaproject.ipc.cip.gen.v1"


@message(_NAMESPACE)
class CommandInvocationRequest:
    """A command for an endpoint; `timeout_ms` after `timestamp_ms` it is worthless."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    endpoint_id: EndpointId
    command_type: str
    command_id: Int
    payload: None | bytes = None


@message(_NAMESPACE)
class CommandInvocationResult:
    """What the endpoint has made of a command, or why it never got there."""

    correlation_id: str
    timestamp_ms: Long
    timeout_ms: Long = 0
    app_version_name: AppVersionName
    endpoint_id: EndpointId
    command_type: str
    command_id: Int
    status_code: Int
    reason_phrase: None | str = None
    payload: None | bytes = None


def invoke_command(agent: str) -> RequestSubject[CommandInvocationRequest, CommandInvocationResult]:
    """Where an agent takes commands."""
    return request(CommandInvocationRequest, CommandInvocationResult, agent, "cip", "command-request", "command-result")


def command_result(replica: str) -> Subject[CommandInvocationResult]:
    """Where one replica of a caller takes results."""
    return to_replica(CommandInvocationResult, replica, "cip", "command-result")
