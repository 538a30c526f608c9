"""IndexEndpointService: endpoints, and the indexes that are deployed on them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpc import StatusCode

from harness_vertex._emulator.contents import Library
from harness_vertex._emulator.errors import ServiceError, invalid, missing, precondition
from harness_vertex._emulator.operations import LongMethod, Task
from harness_vertex._emulator.private import PrivateEndpoints
from harness_vertex._emulator.resources import Resources, apply_mask, now
from harness_vertex._messages import DeployedIndex, DeployedIndexRef, IndexEndpoint, raw

_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_DESCRIBED = ("display_name", "description", "labels")
_MUTABLE = ("automatic_resources", "dedicated_resources", "deployment_group", "display_name")


class Endpoints:
    """The service's methods; `public_address` gives the domain name of public endpoints."""

    def __init__(
        self,
        resources: Resources,
        indexes: Resources,
        library: Library,
        private: PrivateEndpoints,
        public_address: Callable[[], str],
    ) -> None:
        self._resources, self._indexes, self._library = resources, indexes, library
        self._private, self._public_address = private, public_address

    def long_methods(self) -> Iterator[tuple[str, LongMethod]]:
        """The methods that answer with an operation."""
        for name, begin, finish in (
            ("CreateIndexEndpoint", self._begin_create, self._create),
            ("DeployIndex", self._begin_deploy, self._deploy),
            ("UndeployIndex", self._begin_undeploy, self._undeploy),
            ("MutateDeployedIndex", self._begin_mutate, self._mutate),
        ):
            request, metadata = raw(f"{name}Request"), raw(f"{name}OperationMetadata")
            yield name, LongMethod(request, metadata, begin, finish)
        delete, metadata = raw("DeleteIndexEndpointRequest"), raw("DeleteOperationMetadata")
        yield (
            "DeleteIndexEndpoint",
            LongMethod(delete, metadata, self._begin_delete, self._delete),
        )

    def restore(self) -> None:
        """Open the private addresses of what was deployed when the emulator stopped."""
        for endpoint in self._resources.all():
            for deployed in endpoint.deployed_indexes:
                self._open(endpoint, deployed)
            if endpoint.deployed_indexes:
                self._resources.put(endpoint)

    def get(self, request: Message) -> Message:
        """GetIndexEndpoint."""
        return self._filled(self._resources.get(request.name))

    def list(self, request: Message) -> Message:
        """ListIndexEndpoints."""
        page, token = self._resources.page(request)
        endpoints = [self._filled(endpoint) for endpoint in page]
        return raw("ListIndexEndpointsResponse")(index_endpoints=endpoints, next_page_token=token)

    def update(self, request: Message) -> Message:
        """UpdateIndexEndpoint, which answers at once."""
        paths = list(request.update_mask.paths) or list(_DESCRIBED)
        with self._resources.lock:
            endpoint = self._resources.get(request.index_endpoint.name)
            apply_mask(endpoint, request.index_endpoint, paths, _DESCRIBED)
            self._resources.put(endpoint)
        return self._filled(endpoint)

    def deployments(self, index: str) -> Sequence[Message]:
        """The deployments of an index, as an Index refers to them."""
        return [
            DeployedIndexRef(
                index_endpoint=endpoint.name,
                deployed_index_id=deployed.id,
                display_name=deployed.display_name,
            )
            for endpoint in self._resources.all()
            for deployed in endpoint.deployed_indexes
            if deployed.index == index
        ]

    def public_index(self, endpoint: str, deployed_id: str) -> str:
        """The name of the index that is deployed under an id on a public endpoint."""
        found = self._resources.get(endpoint)
        deployed = _deployed(found, deployed_id)
        if not found.public_endpoint_enabled:
            raise precondition(
                f"{endpoint} has no public endpoint; query its deployed indexes at their private "
                "addresses, or create it with public_endpoint_enabled."
            )
        return str(deployed.index)

    def _filled(self, endpoint: Message) -> Message:
        if endpoint.public_endpoint_enabled:
            endpoint.public_endpoint_domain_name = self._public_address()
        return endpoint

    def _begin_create(self, request: Message) -> str:
        name, given = self._resources.new_name(request.parent), request.index_endpoint
        if not 1 <= len(given.display_name) <= 128:
            raise invalid("display_name is required, and has at most 128 characters.")
        ways = [bool(given.network), given.public_endpoint_enabled, _psc(given)]
        if sum(ways) > 1:
            raise invalid(
                "network, public_endpoint_enabled and private_service_connect_config "
                "exclude each other."
            )
        return name

    def _create(self, task: Task) -> Message:
        endpoint = IndexEndpoint()
        endpoint.CopyFrom(task.request.index_endpoint)
        endpoint.name = task.resource
        endpoint.ClearField("deployed_indexes")
        endpoint.create_time.CopyFrom(now())
        self._resources.put(endpoint)
        return self._filled(endpoint)

    def _begin_delete(self, request: Message) -> str:
        self._check_empty(self._resources.get(request.name))
        return str(request.name)

    def _delete(self, task: Task) -> Message:
        with self._resources.lock:
            endpoint = self._resources.find(task.resource)
            if endpoint is not None:
                self._check_empty(endpoint)
                self._resources.delete(task.resource)
        return Empty()

    def _check_empty(self, endpoint: Message) -> None:
        if endpoint.deployed_indexes:
            ids = ", ".join(deployed.id for deployed in endpoint.deployed_indexes)
            raise precondition(
                f"{endpoint.name} has deployed indexes ({ids}); undeploy them first."
            )

    def _begin_deploy(self, request: Message) -> str:
        endpoint, given = self._resources.get(request.index_endpoint), request.deployed_index
        if not _ID.fullmatch(given.id):
            raise invalid(
                f"Deployed index id {given.id!r} must begin with a letter, and have only letters, "
                "digits and underscores, at most 128."
            )
        self._indexes.get(given.index)
        if _location(given.index) != _location(endpoint.name):
            raise invalid(f"{given.index} and {endpoint.name} are not in the same location.")
        if self._project_has(endpoint.name, given.id):
            raise _exists(given.id)
        return str(endpoint.name)

    def _project_has(self, endpoint: str, deployed_id: str) -> bool:
        project = endpoint.split("/")[1]
        return any(
            deployed.id == deployed_id
            for other in self._resources.all()
            if other.name.split("/")[1] == project
            for deployed in other.deployed_indexes
        )

    def _deploy(self, task: Task) -> Message:
        deployed = DeployedIndex()
        deployed.CopyFrom(task.request.deployed_index)
        deployed.ClearField("private_endpoints")  # output only: no client says where to listen
        task.metadata.deployed_index_id = deployed.id
        self._library.index(deployed.index).prepare()
        with self._resources.lock:
            return self._add(task.resource, deployed)

    def _add(self, name: str, deployed: Message) -> Message:
        endpoint = self._resources.get(name)
        known = [own for own in endpoint.deployed_indexes if own.id == deployed.id]
        if known and known[0].index == deployed.index:  # by this operation, before a restart
            return raw("DeployIndexResponse")(deployed_index=known[0])
        if self._project_has(endpoint.name, deployed.id):
            raise _exists(deployed.id)
        self._indexes.get(deployed.index)
        deployed.deployment_group = deployed.deployment_group or "default"
        deployed.create_time.CopyFrom(now())
        deployed.index_sync_time.CopyFrom(now())
        self._open(endpoint, deployed)
        endpoint.deployed_indexes.append(deployed)
        self._resources.put(endpoint)
        return raw("DeployIndexResponse")(deployed_index=deployed)

    def _open(self, endpoint: Message, deployed: Message) -> None:
        """Serve a private deployment, and write its address into it."""
        if not (endpoint.network or _psc(endpoint)):
            return
        paths = deployed.private_endpoints
        address = self._private.open(deployed.id, deployed.index, paths.match_grpc_address)
        if endpoint.network:
            paths.match_grpc_address = address
            return
        project, location = _location(endpoint.name)
        region = f"projects/{project}/regions/{location}"
        paths.service_attachment = f"{region}/serviceAttachments/{address.replace('.', '-')}"
        del paths.psc_automated_endpoints[:]
        for config in deployed.psc_automation_configs:
            paths.psc_automated_endpoints.add(
                project_id=config.project_id, network=config.network, match_address=address
            )

    def _begin_undeploy(self, request: Message) -> str:
        _deployed(self._resources.get(request.index_endpoint), request.deployed_index_id)
        return str(request.index_endpoint)

    def _undeploy(self, task: Task) -> Message:
        with self._resources.lock:
            endpoint = self._resources.get(task.resource)
            kept = [d for d in endpoint.deployed_indexes if d.id != task.request.deployed_index_id]
            del endpoint.deployed_indexes[:]
            endpoint.deployed_indexes.extend(kept)
            self._resources.put(endpoint)
        self._private.close(task.request.deployed_index_id)
        return raw("UndeployIndexResponse")()

    def _begin_mutate(self, request: Message) -> str:
        _deployed(self._resources.get(request.index_endpoint), request.deployed_index.id)
        return str(request.index_endpoint)

    def _mutate(self, task: Task) -> Message:
        task.metadata.deployed_index_id = task.request.deployed_index.id
        with self._resources.lock:
            return self._changed(task.resource, task.request.deployed_index)

    def _changed(self, name: str, given: Message) -> Message:
        endpoint = self._resources.get(name)
        deployed = _deployed(endpoint, given.id)
        for field in _MUTABLE:
            if field in [descriptor.name for descriptor, _ in given.ListFields()]:
                value = getattr(given, field)
                if isinstance(value, str):
                    setattr(deployed, field, value)
                else:
                    getattr(deployed, field).CopyFrom(value)
        self._resources.put(endpoint)
        return raw("MutateDeployedIndexResponse")(deployed_index=deployed)


def _psc(endpoint: Message) -> bool:
    config = endpoint.private_service_connect_config
    return bool(endpoint.enable_private_service_connect or config.enable_private_service_connect)


def _deployed(endpoint: Message, deployed_id: str) -> Message:
    for deployed in endpoint.deployed_indexes:
        if deployed.id == deployed_id:
            return deployed
    raise missing("Deployed index", f"{deployed_id!r} of {endpoint.name}")


def _exists(deployed_id: str) -> ServiceError:
    return ServiceError(
        StatusCode.ALREADY_EXISTS,
        f"There already exists a DeployedIndex with the ID {deployed_id!r} in this project.",
    )


def _location(name: str) -> tuple[str, str]:
    _, project, _, location, *_ = name.split("/")
    return project, location
