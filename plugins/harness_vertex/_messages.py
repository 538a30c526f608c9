"""The service's messages as plain protobuf classes: proto-plus, their usual dress, costs time.

The messages of v1 and v1beta1 are the same on the wire, so those of v1 serve both. The private
service's are loaded from their file in the SDK: importing its package takes seconds, and
compiling the proto again would clash with it.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from google.cloud.aiplatform_v1 import types
from google.protobuf.message import Message

__all__ = ["Message", "private", "raw"]

_PRIVATE = "google.cloud.aiplatform.matching_engine._protos.match_service_pb2"


def raw(name: str) -> type[Message]:
    """The protobuf class of a message of the public API, by its name."""
    kind: type[Message] = getattr(types, name).pb()
    return kind


def _private() -> ModuleType:
    if _PRIVATE in sys.modules:
        return sys.modules[_PRIVATE]
    package = importlib.util.find_spec("google.cloud.aiplatform")
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise ModuleNotFoundError("google-cloud-aiplatform", name="google-cloud-aiplatform")
    path = Path(folders[0], "matching_engine", "_protos", "match_service_pb2.py")
    spec = importlib.util.spec_from_file_location(_PRIVATE, path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"{path} is missing", name="google-cloud-aiplatform")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


private = _private()

Index = raw("Index")
IndexDatapoint = raw("IndexDatapoint")
IndexEndpoint = raw("IndexEndpoint")
DeployedIndex = raw("DeployedIndex")
DeployedIndexRef = raw("DeployedIndexRef")
RecordError = types.NearestNeighborSearchOperationMetadata.RecordError.pb()
ContentValidationStats = types.NearestNeighborSearchOperationMetadata.ContentValidationStats.pb()
