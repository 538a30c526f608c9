"""The child process of the contract: the SDK's own high-level classes, answering calls.

`python vertex_sdk.py HOST:PORT INDEX ENDPOINT DEPLOYED` reads pickled calls and writes pickled
answers; its roots of trust come from the environment.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from typing import IO, cast

from harness.datapoints import (
    Datapoint,
    IndexDescription,
    Match,
    NumericOp,
    NumericRestrict,
    Query,
    Restrict,
)


class Sdk:
    """The unmodified classes, and nothing of the plugin."""

    def __init__(self, address: str, index: str, endpoint: str, deployed: str) -> None:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import aiplatform

        aiplatform.init(
            project="emulator",
            location="us-central1",
            api_endpoint=address,
            credentials=AnonymousCredentials(),
        )
        self._open, self._name = aiplatform.MatchingEngineIndex, index
        self._index = self._open(index)
        self._endpoint = aiplatform.MatchingEngineIndexEndpoint(endpoint)
        self._deployed = deployed

    def find(self, query: Query, k: int, full: bool) -> list[Match]:
        from google.cloud.aiplatform.matching_engine import matching_engine_index_endpoint as of

        found = self._endpoint.find_neighbors(
            deployed_index_id=self._deployed,
            queries=[list(query.vector)],
            num_neighbors=k,
            filter=[of.Namespace(r.namespace, [*r.allow], [*r.deny]) for r in query.restricts],
            numeric_filter=[
                of.NumericNamespace(
                    n.namespace,
                    value_int=n.value if isinstance(n.value, int) else None,
                    value_double=n.value if isinstance(n.value, float) else None,
                    op=n.op or "",
                )
                for n in query.numeric_restricts
            ],
            per_crowding_attribute_neighbor_count=query.crowding_limit,
            approx_num_neighbors=query.approximate_count,
            fraction_leaf_nodes_to_search_override=query.leaves_fraction,
            return_full_datapoint=full,
        )
        # The SDK's MatchNeighbor has None for a distance of 0.0.
        return [Match(n.id, n.distance or 0.0) for n in found[0]]

    def upsert(self, points: list[Datapoint], mask: list[str]) -> None:
        paths = {"restricts": "all_restricts", "metadata": "embedding_metadata"}
        self._index.upsert_datapoints(
            [_message(point) for point in points],
            **({"update_mask": [paths[part] for part in mask]} if mask else {}),
        )

    def remove(self, ids: list[str]) -> None:
        self._index.remove_datapoints(ids)

    def read(self, ids: list[str]) -> list[Datapoint]:
        read = self._endpoint.read_index_datapoints(deployed_index_id=self._deployed, ids=ids)
        found = {point.datapoint_id: _value(point) for point in read}
        return [found[key] for key in ids if key in found]

    def describe(self) -> IndexDescription:
        resource = self._open(self._name).to_dict()
        config = resource["metadata"]["config"]
        count = int(resource["indexStats"].get("vectorsCount", 0))
        return IndexDescription(count, int(config["dimensions"]), config["distanceMeasureType"])


def _message(point: Datapoint) -> object:
    from google.cloud.aiplatform_v1.types import IndexDatapoint

    operators = IndexDatapoint.NumericRestriction.Operator
    message = IndexDatapoint(
        datapoint_id=point.id,
        feature_vector=list(point.vector),
        restricts=[
            {"namespace": r.namespace, "allow_list": [*r.allow], "deny_list": [*r.deny]}
            for r in point.restricts
        ],
        numeric_restricts=[
            {
                "namespace": n.namespace,
                f"value_{'int' if isinstance(n.value, int) else 'double'}": n.value,
                "op": operators[n.op] if n.op else None,
            }
            for n in point.numeric_restricts
        ],
        **({"embedding_metadata": dict(point.metadata)} if point.metadata else {}),
    )
    if point.crowding_tag:
        message.crowding_tag = {"crowding_attribute": point.crowding_tag}
    return message


def _value(message: object) -> Datapoint:
    from google.cloud.aiplatform_v1beta1.types import IndexDatapoint
    from google.protobuf.json_format import MessageToDict

    raw = IndexDatapoint.pb(message)
    return Datapoint(
        raw.datapoint_id,
        tuple(raw.feature_vector),
        None,
        tuple(Restrict(r.namespace, (*r.allow_list,), (*r.deny_list,)) for r in raw.restricts),
        tuple(
            NumericRestrict(n.namespace, getattr(n, n.WhichOneof("Value")), cast(NumericOp, None))
            for n in raw.numeric_restricts
        ),
        raw.crowding_tag.crowding_attribute,
        MessageToDict(raw.embedding_metadata),
    )


def _answer(work: Callable[..., object], *arguments: object) -> object:
    from google.api_core.exceptions import GoogleAPICallError

    try:
        return work(*arguments)
    except GoogleAPICallError as error:
        code = error.grpc_status_code.name if error.grpc_status_code else "UNKNOWN"
        return "error", code, error.message


def serve(commands: IO[bytes], answers: IO[bytes], sdk: Sdk) -> None:
    """Answer calls until there are no more."""
    while True:
        try:
            name, *arguments = pickle.load(commands)
        except EOFError:
            return
        pickle.dump(_answer(getattr(sdk, name), *arguments), answers)
        answers.flush()


if __name__ == "__main__":
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the SDK prints is no answer
    serve(sys.stdin.buffer, replies, Sdk(*sys.argv[1:]))
