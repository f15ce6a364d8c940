"""Client for RayJobs with the two operations that the launcher needs: get and create. Runs in the launcher's
container.
"""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from actors.errors import JobError
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOG = logging.getLogger("shardlens")


class ApiGoneError(Exception):
    """The Kubernetes API has failed for so long that this process should exit and be restarted."""


@dataclass(frozen=True)
class Patience:
    """Seconds between requests, and seconds for which the API may fail."""

    poll_s: float = 10.0
    # Giving up costs one of the Kubernetes Job's attempts, and its replacement waits for the same API.
    patience_s: float = 900.0


class RayJobs:
    """The RayJobs of one namespace.

    Args:
        namespace: their namespace.
        patience: for an API that does not respond, responds with 5xx or 429, or rejects the token (401).
    """

    def __init__(self, namespace: str, patience: Patience) -> None:
        try:
            from kubernetes import client  # noqa: PLC0415  an extra: only the launcher needs it
        except ImportError as error:
            raise JobError("the package kubernetes is missing", fix="pip install 'shardlens[k8s]'") from error
        self.namespace = namespace
        self._patience = patience
        self._api = client.CustomObjectsApi(client.ApiClient(_configuration()))

    def get(self, name: str) -> dict[str, Any] | None:
        """Returns the RayJob of that name, or None. Raises `JobError` if the request is forbidden."""
        status, body = self._call("get", self._api.get_namespaced_custom_object, name=name)
        return None if status == _NOT_FOUND else body

    def create(self, manifest: Mapping[str, Any]) -> bool:
        """Creates a RayJob; returns False if the name is taken. Raises `JobError` if it is rejected."""
        # Strict, because the API server by default drops unknown fields with only a warning.
        status, body = self._call(
            "create", self._api.create_namespaced_custom_object, body=dict(manifest), field_validation="Strict"
        )
        if status in (_OK, _CREATED, _CONFLICT):
            return status != _CONFLICT
        # Creation requires only the namespace and the resource's definition.
        if status == _NOT_FOUND:
            raise JobError(
                f"namespace {self.namespace}: a RayJob cannot be created there: {body['message']}",
                fix="install KubeRay with its custom resources, and create the namespace",
            )
        raise JobError(f"RayJob {manifest['metadata']['name']}: refused: {body['message']}", fix="correct the template")

    def _call(self, verb: str, call: Callable[..., Any], **arguments: Any) -> tuple[int, dict[str, Any]]:
        """Returns status and body of the response. Retries transient errors."""
        since = time.monotonic()
        while True:
            status, body = self._call_once(call, arguments)
            if status == _FORBIDDEN:
                raise _forbidden(verb, self.namespace, body["message"])
            # A repeated create whose first response was lost finds its own RayJob: that conflict is a success.
            if status not in _PASSING and status < _SERVER_ERROR:
                return status, body
            waited_s = time.monotonic() - since
            if waited_s > self._patience.patience_s:
                raise ApiGoneError(
                    f"the Kubernetes API has failed for {waited_s:.0f} s ({body['message']}); the RayJob keeps running"
                )
            LOG.warning("the Kubernetes API fails: %s; retrying", body["message"])
            time.sleep(self._patience.poll_s)

    def _call_once(self, call: Callable[..., Any], arguments: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        from kubernetes.client import ApiException  # noqa: PLC0415  as above
        from urllib3.exceptions import HTTPError  # noqa: PLC0415  the client does not wrap these

        place = {"group": "ray.io", "version": "v1", "namespace": self.namespace, "plural": "rayjobs"}
        try:
            # The client has no timeout by default: it would wait forever on a connection dropped by a firewall.
            return _OK, call(**place, **arguments, _request_timeout=_TIMEOUT_S)
        # Status 0 means no response, and some of the client's own errors have None.
        except ApiException as error:
            return int(error.status or 0), {"message": _message_of(error.body) or " ".join(str(error.reason).split())}
        except (HTTPError, OSError) as error:
            return 0, {"message": one_line(error)}


_OK, _CREATED, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT = 200, 201, 401, 403, 404, 409
_SERVER_ERROR = 500
# Worth a retry, even 401, because the kubelet replaces a pod's token while it runs.
_PASSING = (0, _UNAUTHORIZED, 408, 429)
_TIMEOUT_S = (5.0, 30.0)  # to connect, and to wait for data


def _configuration() -> Any:
    """Returns the configuration of the pod's service account; outside a pod, that of kubectl."""
    from kubernetes import client, config  # noqa: PLC0415  as above

    configuration = client.Configuration()
    # The client has no annotations.
    in_a_pod, elsewhere = cast("Any", config.load_incluster_config), cast("Any", config.load_kube_config)
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            in_a_pod(configuration)
        else:
            elsewhere(client_configuration=configuration)
    except config.ConfigException as error:
        raise JobError(
            f"the Kubernetes API cannot be configured: {one_line(error)}",
            fix="in a pod set automountServiceAccountToken: true; elsewhere point KUBECONFIG at a cluster",
        ) from None
    configuration.retries = False  # `RayJobs` does its own retries
    return configuration


def _message_of(body: Any) -> str:
    """Returns the message of a Kubernetes Status; empty if the body is not one."""
    try:
        return str(json.loads(body)["message"])
    except (TypeError, ValueError, KeyError):
        return ""


def _forbidden(verb: str, namespace: str, reason: str) -> JobError:
    return JobError(
        f"rayjobs.ray.io in namespace {namespace}: {verb} is forbidden: {reason}",
        fix="apply the Role and RoleBinding of k8s/components/launcher, which allow the named service account to get "
        "and create; if a quota is named, raise it",
    )
