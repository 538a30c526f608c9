"""What an index of the service says about itself, in the harness's words."""

from __future__ import annotations

from google.cloud.aiplatform_v1.types import Index
from google.protobuf.json_format import MessageToDict

from harness.datapoints import IndexDescription
from harness_vertex._wire import whole

MEASURES = {
    "DOT_PRODUCT_DISTANCE": "dot_product",
    "COSINE_DISTANCE": "cosine",
    "SQUARED_L2_DISTANCE": "squared_l2",
    "L1_DISTANCE": "l1",
}
_STREAM = Index.IndexUpdateMethod.STREAM_UPDATE


def described(index: Index) -> IndexDescription:
    """What an index of the service says about itself."""
    metadata = MessageToDict(Index.pb(index).metadata)
    config = whole(metadata.get("config", {})) if isinstance(metadata, dict) else {}
    measure = str(config.get("distanceMeasureType", "DOT_PRODUCT_DISTANCE"))
    return IndexDescription(
        count=index.index_stats.vectors_count,
        dimensions=int(str(config.get("dimensions", 0))),
        measure=MEASURES.get(measure, measure),
        location=index.name,
        details={
            "name": index.display_name,
            "updates": "stream" if index.index_update_method == _STREAM else "batch",
            "config": config,
            "shards": index.index_stats.shards_count,
            "created": index.create_time.isoformat() if index.create_time else "",
            "updated": index.update_time.isoformat() if index.update_time else "",
            "deployed": [
                {"endpoint": ref.index_endpoint, "deployed_index": ref.deployed_index_id}
                for ref in index.deployed_indexes
            ],
        },
    )
