"""IndexService: indexes are made from files, updated by files or by stream, and deleted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from harness.vectors import Engine, Measure, Normalise, VectorError, VectorSettings
from harness_vertex._emulator.contents import Library
from harness_vertex._emulator.converting import json_of
from harness_vertex._emulator.errors import invalid, precondition
from harness_vertex._emulator.importing import Buckets, apply_batch, read_batch
from harness_vertex._emulator.operations import LongMethod, Task
from harness_vertex._emulator.resources import Resources, apply_mask, now
from harness_vertex._emulator.writing import Writer
from harness_vertex._messages import Index, raw

T = TypeVar("T")

_STREAM = Index.IndexUpdateMethod.Value("STREAM_UPDATE")
_BATCH = Index.IndexUpdateMethod.Value("BATCH_UPDATE")
_MEASURES: dict[str, Measure] = {
    "DOT_PRODUCT_DISTANCE": "dot_product",
    "COSINE_DISTANCE": "cosine",
    "SQUARED_L2_DISTANCE": "squared_l2",
    "L1_DISTANCE": "l1",
}
_NORMS: dict[str, Normalise] = {"NONE": "none", "UNIT_L2_NORM": "unit_l2"}
_SCHEMA = (
    "gs://google-cloud-aiplatform/schema/matchingengine/metadata/nearest_neighbor_search_1.0.0.yaml"
)
_DESCRIBED = ("display_name", "description", "labels")


class Indexes:
    """The service's methods; `deployments` gives the deployments of an index by its name."""

    def __init__(
        self,
        resources: Resources,
        library: Library,
        writer: Writer,
        buckets: Buckets,
        deployments: Callable[[str], Sequence[Message]],
        max_upsert: int,
    ) -> None:
        self._resources, self._library, self._writer = resources, library, writer
        self._buckets, self._deployments, self._max_upsert = buckets, deployments, max_upsert

    def long_methods(self) -> Iterator[tuple[str, LongMethod]]:
        """The methods that answer with an operation."""
        create, update = raw("CreateIndexOperationMetadata"), raw("UpdateIndexOperationMetadata")
        yield (
            "CreateIndex",
            LongMethod(raw("CreateIndexRequest"), create, self._begin_create, self._create),
        )
        yield (
            "UpdateIndex",
            LongMethod(raw("UpdateIndexRequest"), update, self._begin_update, self._update),
        )
        delete = raw("DeleteOperationMetadata")
        yield (
            "DeleteIndex",
            LongMethod(raw("DeleteIndexRequest"), delete, self._begin_delete, self._delete),
        )

    def get(self, request: Message) -> Message:
        """GetIndex."""
        return self._filled(self._resources.get(request.name))

    def list(self, request: Message) -> Message:
        """ListIndexes."""
        page, token = self._resources.page(request)
        indexes = [self._filled(index) for index in page]
        return raw("ListIndexesResponse")(indexes=indexes, next_page_token=token)

    def upsert(self, request: Message) -> Message:
        """UpsertDatapoints."""
        self._check_stream(request.index, len(request.datapoints), "datapoints")
        self._writer.upsert(request)
        return raw("UpsertDatapointsResponse")()

    def remove(self, request: Message) -> Message:
        """RemoveDatapoints."""
        self._check_stream(request.index, len(request.datapoint_ids), "datapoint_ids")
        self._writer.remove(request)
        return raw("RemoveDatapointsResponse")()

    def _check_stream(self, name: str, count: int, what: str) -> None:
        if self._resources.get(name).index_update_method != _STREAM:
            raise precondition("StreamUpdate is not enabled on this Index.")
        if not 1 <= count <= self._max_upsert:
            raise invalid(f"A request takes 1 to {self._max_upsert} {what}, not {count}.")

    def _filled(self, index: Message) -> Message:
        """An index with what is known only now."""
        index.index_stats.vectors_count = len(self._library.index(index.name))
        index.index_stats.shards_count = 1
        index.deployed_indexes.extend(self._deployments(index.name))
        return index

    def _begin_create(self, request: Message) -> str:
        name = self._resources.new_name(request.parent)
        given = request.index
        if not 1 <= len(given.display_name) <= 128:
            raise invalid("display_name is required, and has at most 128 characters.")
        if not given.HasField("metadata"):
            raise invalid("Index metadata is missing.")
        settings_of(given)
        if _uri_of(given):
            self._buckets.folder(_uri_of(given))
        return name

    def _create(self, task: Task) -> Message:
        index = Index()
        index.CopyFrom(task.request.index)
        index.name = task.resource
        index.metadata_schema_uri = index.metadata_schema_uri or _SCHEMA
        index.index_update_method = index.index_update_method or _BATCH
        index.create_time.CopyFrom(now())
        self._replace(task, index, _uri_of(index))
        _keep_config(index)
        self._resources.put(index)
        return self._filled(index)

    def _begin_update(self, request: Message) -> str:
        self._resources.get(request.index.name)
        paths = list(request.update_mask.paths)
        known = [p for p in paths if p in _DESCRIBED or p.partition(".")[0] == "metadata"]
        if known != paths:
            raise invalid(f"update_mask takes {', '.join(_DESCRIBED)} and metadata, not {paths}.")
        if _wants_contents(request):
            if any(path in _DESCRIBED for path in paths):
                raise invalid("contentsDeltaUri is updated alone, with no other field.")
            if not _uri_of(request.index):
                raise invalid("contentsDeltaUri is required to update the contents of an Index.")
            self._buckets.folder(_uri_of(request.index))
        return str(request.index.name)

    def _update(self, task: Task) -> Message:
        request = task.request
        if _wants_contents(request):
            self._update_contents(task, _uri_of(request.index))
        with self._resources.lock:
            index = self._resources.get(task.resource)
            if not _wants_contents(request):
                paths = list(request.update_mask.paths) or list(_DESCRIBED)
                apply_mask(index, request.index, paths, _DESCRIBED)
            self._resources.put(index)
        return self._filled(index)

    def _update_contents(self, task: Task, uri: str) -> None:
        index = self._resources.get(task.resource)
        self._writer.flush()
        with self._library.writing(index.name):
            if _metadata_of(task.request.index).get("isCompleteOverwrite"):
                self._replace(task, index, uri)
            else:
                batch = read_batch(self._buckets.folder(uri), uri)
                self._library.use(index.name, lambda i: apply_batch(i, batch, task))

    def _replace(self, task: Task, index: Message, uri: str) -> None:
        """Give an index new contents, from the files under an address if there is one."""
        key, contents = self._library.new(settings_of(index))
        try:
            if uri:
                apply_batch(contents, read_batch(self._buckets.folder(uri), uri), task)
        except BaseException:
            self._library.discard(key, contents)
            raise
        self._library.publish(index.name, key, contents)

    def _begin_delete(self, request: Message) -> str:
        self._resources.get(request.name)
        self._check_undeployed(request.name)
        return str(request.name)

    def _delete(self, task: Task) -> Message:
        with self._resources.lock:
            self._check_undeployed(task.resource)
            self._resources.delete(task.resource)
        self._library.drop(task.resource)
        return Empty()

    def _check_undeployed(self, name: str) -> None:
        if deployed := self._deployments(name):
            ids = ", ".join(ref.deployed_index_id for ref in deployed)
            raise precondition(
                "An Index can be only deleted if all its DeployedIndexes had been undeployed "
                f"first; {name} is deployed as {ids}."
            )


def _metadata_of(index: Message) -> dict[str, object]:
    found = json_of(index.metadata) if index.HasField("metadata") else {}
    return found if isinstance(found, dict) else {}


def _uri_of(index: Message) -> str:
    return str(_metadata_of(index).get("contentsDeltaUri") or "")


def _wants_contents(request: Message) -> bool:
    paths = [path.partition(".")[0] for path in request.update_mask.paths]
    return "metadata" in paths or (not paths and request.index.HasField("metadata"))


def _keep_config(index: Message) -> None:
    """What an index was made from is not told again; its configuration is."""
    for name in list(index.metadata.struct_value.fields):
        if name != "config":
            del index.metadata.struct_value.fields[name]


def settings_of(index: Message) -> VectorSettings:
    """What an index is, from its metadata; INVALID_ARGUMENT for what the service refuses too."""
    config = _metadata_of(index).get("config")
    if not isinstance(config, dict) or not config.get("dimensions"):
        raise invalid("dimensions is required but missing from Index metadata.")
    algorithm = config.get("algorithmConfig") or config.get("algorithm_config")
    if not isinstance(algorithm, dict) or not algorithm:
        raise invalid("algorithmConfig is required but missing from the metadata.")
    brute = "bruteForceConfig" in algorithm
    tree = algorithm.get("treeAhConfig") or {}
    if not isinstance(tree, dict):
        raise invalid(f"treeAhConfig is {tree!r}; it must be an object.")
    if not brute and "treeAhConfig" not in algorithm:
        raise invalid("algorithmConfig must have treeAhConfig or bruteForceConfig.")
    if not brute and not config.get("approximateNeighborsCount"):
        raise invalid("approximateNeighborsCount is required but missing from Index metadata.")
    engine: Engine = "exact" if brute else "auto"
    try:
        return VectorSettings(
            dimensions=_whole(config, "dimensions", 0),
            measure=_one_of(config, "distanceMeasureType", _MEASURES),
            normalise=_one_of(config, "featureNormType", _NORMS),
            engine=engine,
            leaf_size=_whole(tree, "leafNodeEmbeddingCount", 1000),
            leaves_fraction=_leaves(tree),
            approximate_count=_whole(config, "approximateNeighborsCount", 150),
        )
    except VectorError as error:
        raise invalid(f"Index metadata: {error}.") from error


def _whole(config: dict[str, object], key: str, default: int) -> int:
    value = config.get(key) or default
    if not isinstance(value, int | float) or not math.isfinite(value) or value != int(value):
        raise invalid(f"{key} is {value!r}; it must be a whole number.")
    return int(value)


def _one_of(config: dict[str, object], key: str, known: dict[str, T]) -> T:
    """What a name stands for; the first is the default."""
    value = config.get(key) or next(iter(known))
    if not isinstance(value, str) or value not in known:
        raise invalid(f"{key} is {value!r}; it must be one of {', '.join(known)}.")
    return known[value]


def _leaves(tree: dict[str, object]) -> float:
    percent = tree.get("leafNodesToSearchPercent")
    fraction = tree.get("fractionLeafNodesToSearch")
    value = fraction or (percent / 100 if isinstance(percent, int | float) else None) or 0.1
    if not isinstance(value, int | float) or not 0 < value <= 1:
        raise invalid("leafNodesToSearchPercent must be from 1 to 100.")
    return float(value)
