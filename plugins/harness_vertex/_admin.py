"""Making and unmaking: indexes, endpoints, and what is deployed where, in the right order."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from google.api_core.operation import Operation as Future
from google.cloud.aiplatform_v1.types import (
    AutomaticResources,
    DedicatedResources,
    DeployedIndex,
    DeployedIndexRef,
    Index,
    IndexEndpoint,
    MachineSpec,
    PrivateServiceConnectConfig,
)

from harness.indexing import IndexSpec, Report, Work, unheard
from harness_vertex import VertexError
from harness_vertex._described import MEASURES, described
from harness_vertex._service import Service
from harness_vertex._target import Finder, full_name, named
from harness_vertex._waiting import Waiter

R = TypeVar("R", Index, IndexEndpoint)

MADE_BY = {"made-by": "samescore"}
"""The label of what was made here; an endpoint without it is never deleted."""

_CANDIDATES = 150
_NORMS = {"none": "NONE", "unit_l2": "UNIT_L2_NORM"}
_UPDATES = {
    "stream": Index.IndexUpdateMethod.STREAM_UPDATE,
    "batch": Index.IndexUpdateMethod.BATCH_UPDATE,
}


class Admin:
    """Does to the index and endpoint that the settings name what `ManagedIndex` says.

    Calls that make something are made once: repeated, they might make it twice.
    """

    def __init__(self, service: Service, finder: Finder) -> None:
        self._service, self._settings, self._finder = service, service.settings, finder
        self._waiter = Waiter(service)

    def create(self, spec: IndexSpec, *, report: Report = unheard) -> None:
        """Make the index, or find it there and as it should be."""
        name = self._settings.index
        doing = f"create the index {name}"
        there = self._there(self._finder.find_index, name, "indexes", doing, report)
        if there is not None:
            self._settle(there.name, doing, report)
            _compare(there, spec)
            report(Work(doing, "there", detail=there.name))
            return
        self._refuse_number(name, "indexes", "index")
        if spec.source:
            _check_source(spec.source)
        index = Index(
            display_name=name,
            description=spec.description,
            metadata=index_metadata(spec, self._settings.shard_size),
            index_update_method=_UPDATES[spec.updates],
            labels=MADE_BY,
        )
        parent = self._service.parent
        self._run(
            lambda s: self._service.indexes.create_index(
                parent=parent, index=index, timeout=s, retry=None
            ),
            doing,
            report,
        )

    def serve(self, *, report: Report = unheard) -> None:
        """Deploy the index to the endpoint of the settings, which is made if it is not there."""
        index = self._finder.index()
        doing = f"deploy the index {index.display_name}"
        self._settle(index.name, doing, report)
        if self._refs(index):
            report(Work(doing, "there", detail=self._refs(index)[0].index_endpoint))
            return
        endpoint = self._endpoint(self._settings.endpoint or index.display_name, report)
        self._settle(endpoint.name, doing, report)
        key = self._settings.deployed_index or deployed_id(index.display_name)
        if not any(deployed.id == key for deployed in self._again(endpoint).deployed_indexes):
            self._deploy(endpoint, index, key, doing, report)

    def withdraw(self, *, report: Report = unheard) -> None:
        """Undeploy the index, and delete endpoints that were made here and are empty then."""
        self._undeploy(self._finder.index(), report)

    def update(self, source: str, *, overwrite: bool = False, report: Report = unheard) -> None:
        """Take in files of a bucket."""
        _check_source(source)
        found = self._finder.index()
        metadata = {"contentsDeltaUri": source, "isCompleteOverwrite": overwrite}
        index = Index(name=found.name, metadata=metadata)
        self._run(
            lambda s: self._service.indexes.update_index(
                index=index, update_mask={"paths": ["metadata"]}, timeout=s, retry=None
            ),
            f"update the index {found.display_name}",
            report,
        )

    def delete(self, *, report: Report = unheard) -> None:
        """Undeploy the index, then delete it, and endpoints that were made here for it alone."""
        try:
            index = self._finder.index()
        except VertexError as error:
            if error.code != "NOT_FOUND":
                raise
            report(Work(f"delete the index {self._settings.index}", "there"))
            return
        doing = f"delete the index {named(index)}"
        self._settle(index.name, doing, report)
        self._undeploy(index, report, everywhere=True)
        self._run(
            lambda s: self._service.indexes.delete_index(name=index.name, timeout=s, retry=None),
            doing,
            report,
        )

    def wait(self, operation: str, *, report: Report = unheard) -> None:
        """Wait for an operation by its resource name."""
        self._waiter.wait(self._waiter.get(operation), f"operation {operation}", report)

    def _run(self, start: Callable[[float], Future], doing: str, report: Report) -> None:
        """Start an operation, and wait for it."""
        begun = self._service.call(start, doing, again=False)
        self._waiter.wait(begun.operation, doing, report)

    def _settle(self, resource: str, doing: str, report: Report) -> None:
        """Wait for what is under way with a resource: a call before this one was interrupted."""
        for operation in self._waiter.pending(resource):
            self._waiter.wait(operation, f"{doing}: wait for {operation.name}", report)

    def _there(
        self,
        find: Callable[[str], R | None],
        name: str,
        collection: str,
        doing: str,
        report: Report,
    ) -> R | None:
        """What has a name, also if it is only just being made and not listed yet.

        Such an operation does not say what it makes, so it is waited for: that costs time, and
        what is made twice costs money every hour.
        """
        found = find(name) if name else None
        if found is not None or not name:
            return found
        for operation in self._waiter.pending(self._service.parent):
            made = operation.name.partition("/operations/")[0]
            ours = f"/{collection}/" in made and ".Create" in operation.metadata.type_url
            if ours and find(made) is None:
                what = f"{doing}: wait for {operation.name}, which may be making it"
                with contextlib.suppress(VertexError):  # of no interest here, unless it is ours
                    self._waiter.wait(operation, what, report)
        return find(name)

    def _refs(self, index: Index) -> list[DeployedIndexRef]:
        """Where an index is deployed, as far as the settings mean it."""
        wanted, key = self._settings.endpoint, self._settings.deployed_index
        refs = [r for r in index.deployed_indexes if key in ("", r.deployed_index_id)]
        if not wanted:
            return refs
        endpoint = self._finder.find_endpoint(wanted)
        number = endpoint.name.rpartition("/")[2] if endpoint else ""
        return [r for r in refs if r.index_endpoint.rpartition("/")[2] == number]

    def _endpoint(self, name: str, report: Report) -> IndexEndpoint:
        """The endpoint of a name; made if it is not there."""
        doing = f"create the endpoint {name}"
        there = self._there(self._finder.find_endpoint, name, "indexEndpoints", doing, report)
        if there is not None:
            report(Work(doing, "there", detail=there.name))
            return there
        self._refuse_number(name, "indexEndpoints", "endpoint")
        wanted = IndexEndpoint(display_name=name, labels=MADE_BY, **self._network())
        parent = self._service.parent
        self._run(
            lambda s: self._service.endpoints.create_index_endpoint(
                parent=parent, index_endpoint=wanted, timeout=s, retry=None
            ),
            doing,
            report,
        )
        made = self._finder.find_endpoint(name)
        if made is None:
            raise VertexError(f"vertex: {doing}: it was made, and is not listed", code="INTERNAL")
        return made

    def _network(self) -> Mapping[str, object]:
        network = self._settings.network
        if network == "public":
            return {"public_endpoint_enabled": True}
        if network == "psc":
            config = PrivateServiceConnectConfig(
                enable_private_service_connect=True,
                project_allowlist=list(self._settings.psc_projects),
            )
            return {"private_service_connect_config": config}
        return {"network": network}

    def _again(self, endpoint: IndexEndpoint) -> IndexEndpoint:
        """An endpoint as it is now."""
        return self._finder.find_endpoint(endpoint.name) or endpoint

    def _deploy(
        self, endpoint: IndexEndpoint, index: Index, key: str, doing: str, report: Report
    ) -> None:
        deployed = DeployedIndex(id=key, index=index.name, display_name=index.display_name)
        least, most = self._settings.min_replicas, self._settings.max_replicas
        if self._settings.machine_type:
            deployed.dedicated_resources = DedicatedResources(
                machine_spec=MachineSpec(machine_type=self._settings.machine_type),
                min_replica_count=least,
                max_replica_count=most,
            )
        else:
            deployed.automatic_resources = AutomaticResources(
                min_replica_count=least, max_replica_count=most
            )
        self._run(
            lambda s: self._service.endpoints.deploy_index(
                index_endpoint=endpoint.name, deployed_index=deployed, timeout=s, retry=None
            ),
            doing,
            report,
        )

    def _undeploy(self, index: Index, report: Report, *, everywhere: bool = False) -> None:
        """Undeploy an index; then delete the endpoints that were made here and are empty."""
        refs = list(index.deployed_indexes) if everywhere else self._refs(index)
        for ref in refs:
            self._settle(ref.index_endpoint, f"undeploy {ref.deployed_index_id}", report)
            self._run(self._undeploying(ref), f"undeploy {ref.deployed_index_id}", report)
        for name in dict.fromkeys(ref.index_endpoint for ref in refs):
            endpoint = self._finder.find_endpoint(name)
            ours = endpoint is not None and endpoint.labels.get("made-by") == MADE_BY["made-by"]
            if endpoint is not None and ours and not endpoint.deployed_indexes:
                self._run(self._deleting(name), f"delete the endpoint {named(endpoint)}", report)

    def _undeploying(self, ref: DeployedIndexRef) -> Callable[[float], Future]:
        return lambda s: self._service.endpoints.undeploy_index(
            index_endpoint=ref.index_endpoint,
            deployed_index_id=ref.deployed_index_id,
            timeout=s,
            retry=None,
        )

    def _deleting(self, endpoint: str) -> Callable[[float], Future]:
        return lambda s: self._service.endpoints.delete_index_endpoint(
            name=endpoint, timeout=s, retry=None
        )

    def _refuse_number(self, name: str, collection: str, what: str) -> None:
        if not name or full_name(name, collection, self._service.parent):
            raise VertexError(
                f"vertex: an {what} is made by its display name, which {name!r} is not; "
                f"the service gives the number. Give {what}=NAME",
                code="INVALID_ARGUMENT",
            )


def index_metadata(spec: IndexSpec, shard_size: str) -> dict[str, object]:
    """The metadata of an index that is to be made, as the service's schema has it."""
    config: dict[str, object] = {
        "dimensions": spec.dimensions,
        "distanceMeasureType": next(k for k, v in MEASURES.items() if v == spec.measure),
        "featureNormType": _NORMS[spec.normalise],
        "algorithmConfig": _algorithm(spec),
    }
    if spec.engine == "tree":
        config["approximateNeighborsCount"] = spec.approximate_count or _CANDIDATES
    if shard_size:
        config["shardSize"] = f"SHARD_SIZE_{shard_size.upper()}"
    return {"config": config} | ({"contentsDeltaUri": spec.source} if spec.source else {})


def _algorithm(spec: IndexSpec) -> dict[str, object]:
    if spec.engine == "exact":
        return {"bruteForceConfig": {}}
    tree: dict[str, object] = {}
    if spec.leaf_size is not None:
        tree["leafNodeEmbeddingCount"] = spec.leaf_size
    if spec.leaves_fraction is not None:
        tree["leafNodesToSearchPercent"] = max(1, round(100 * spec.leaves_fraction))
    return {"treeAhConfig": tree}


def deployed_id(name: str) -> str:
    """An ID for a deployed index, made of a display name: letters, digits and _."""
    found = re.sub(r"\W", "_", name, flags=re.ASCII)[:120]
    return found if re.match("[A-Za-z]", found) else f"index_{found}"


def _check_source(source: str) -> None:
    if not source.startswith("gs://"):
        raise VertexError(
            f"vertex: the service reads files of a bucket, gs://BUCKET/FOLDER, not {source!r}; "
            "upload them, or upsert them into an index with updates=stream",
            code="INVALID_ARGUMENT",
        )


def _compare(there: Index, spec: IndexSpec) -> None:
    """Refuse an index of the name that is another than asked for."""
    config = described(there).details["config"]
    assert isinstance(config, Mapping)
    wanted = index_metadata(spec, "")["config"]
    assert isinstance(wanted, Mapping)
    own = {
        "dimensions": (int(config.get("dimensions", 0)), spec.dimensions),
        "measure": (config.get("distanceMeasureType"), wanted["distanceMeasureType"]),
        "engine": (sorted(config.get("algorithmConfig", {})), sorted(wanted["algorithmConfig"])),
        "updates": (described(there).details["updates"], spec.updates),
    }
    differ = [f"{key} is {a}, not {b}" for key, (a, b) in own.items() if a and a != b]
    if differ:
        raise VertexError(
            f"vertex: there is an index {named(there)} already, and its {'; its '.join(differ)}; "
            "choose another name, or delete it first",
            code="ALREADY_EXISTS",
        )
