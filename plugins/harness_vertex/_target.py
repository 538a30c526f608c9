"""From the names in settings to the resources of the service that they stand for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from google.cloud.aiplatform_v1.types import DeployedIndex, Index, IndexEndpoint

from harness_vertex import VertexError
from harness_vertex._service import Service


@dataclass(frozen=True, slots=True)
class Target:
    """Where an index is searched: its endpoint, and what it is called there."""

    index: str
    endpoint: IndexEndpoint
    deployed: DeployedIndex


class _Resource(Protocol):
    name: str
    display_name: str


R = TypeVar("R", bound=_Resource)


class Finder:
    """Finds indexes, endpoints and deployed indexes; remembers nothing."""

    def __init__(self, service: Service) -> None:
        self._service, self._settings = service, service.settings

    def index(self) -> Index:
        """The index that the settings name, or that is deployed where they say.

        Raises:
            VertexError: NOT_FOUND, or INVALID_ARGUMENT where more than one is meant.
        """
        if self._settings.index:
            found = self.find_index(self._settings.index)
            if found is None:
                raise _missing("index", self._settings.index, self._service.parent)
            return found
        return self._get_index(self._deployed_at(self.endpoint()).index)

    def endpoint(self) -> IndexEndpoint:
        """The endpoint that the settings name; raises as `index` does."""
        found = self.find_endpoint(self._settings.endpoint)
        if found is None:
            raise _missing("endpoint", self._settings.endpoint, self._service.parent)
        return found

    def target(self) -> Target:
        """Where the index is searched.

        Raises:
            VertexError: as `index`; FAILED_PRECONDITION if the index is not deployed.
        """
        if self._settings.endpoint:
            endpoint = self.endpoint()
            deployed = self._deployed_at(endpoint)
            return Target(deployed.index, endpoint, deployed)
        index = self.index()
        wanted = self._settings.deployed_index
        refs = [r for r in index.deployed_indexes if wanted in ("", r.deployed_index_id)]
        if len(refs) > 1:
            names = ", ".join(r.deployed_index_id for r in refs)
            raise _several(f"the index {named(index)} is deployed as {names}", "deployed_index")
        if not refs:
            raise _not_deployed(f"the index {named(index)}", wanted)
        endpoint = self._get_endpoint(refs[0].index_endpoint)
        return Target(index.name, endpoint, _by_id(endpoint, refs[0].deployed_index_id))

    def find_index(self, name: str) -> Index | None:
        """The index of a display name, number or resource name; None if there is none."""
        full = full_name(name, "indexes", self._service.parent)
        if full:
            return _or_none(self._get_index, full)
        return _only(self.indexes(name), "index", name)

    def find_endpoint(self, name: str) -> IndexEndpoint | None:
        """The endpoint of a display name, number or resource name; None if there is none."""
        full = full_name(name, "indexEndpoints", self._service.parent)
        if full:
            return _or_none(self._get_endpoint, full)
        return _only(self.endpoints(name), "endpoint", name)

    def indexes(self, display_name: str = "") -> list[Index]:
        """All indexes, or those of a display name."""
        clients, request = self._service.indexes, self._listing(display_name)
        return self._service.call(
            lambda s: _named(clients.list_indexes(request, timeout=s, retry=None), display_name),
            f"listing the indexes of {self._service.parent}",
        )

    def endpoints(self, display_name: str = "") -> list[IndexEndpoint]:
        """All endpoints, or those of a display name."""
        clients, request = self._service.endpoints, self._listing(display_name)
        return self._service.call(
            lambda s: _named(
                clients.list_index_endpoints(request, timeout=s, retry=None), display_name
            ),
            f"listing the endpoints of {self._service.parent}",
        )

    def _listing(self, display_name: str) -> dict[str, str]:
        quoted = display_name.replace("\\", "\\\\").replace('"', '\\"')
        wanted = f'display_name="{quoted}"' if display_name else ""
        return {"parent": self._service.parent, "filter": wanted}

    def _get_index(self, name: str) -> Index:
        return self._service.call(
            lambda s: self._service.indexes.get_index(name=name, timeout=s, retry=None),
            f"looking up the index {name}",
        )

    def _get_endpoint(self, name: str) -> IndexEndpoint:
        return self._service.call(
            lambda s: self._service.endpoints.get_index_endpoint(name=name, timeout=s, retry=None),
            f"looking up the endpoint {name}",
        )

    def _deployed_at(self, endpoint: IndexEndpoint) -> DeployedIndex:
        """The deployed index of an endpoint that the settings mean."""
        wanted, there = self._settings.deployed_index, endpoint.deployed_indexes
        if wanted:
            return _by_id(endpoint, wanted)
        if self._settings.index:
            own = self.index().name
            there = [d for d in there if d.index.rpartition("/")[2] == own.rpartition("/")[2]]
        if len(there) > 1:
            names = ", ".join(d.id for d in there)
            raise _several(f"the endpoint {named(endpoint)} has {names}", "deployed_index")
        if not there:
            raise _not_deployed(self._settings.index or "an index", "", named(endpoint))
        return there[0]


def full_name(name: str, collection: str, parent: str) -> str:
    """The resource name that a text is or stands for; empty for a display name."""
    if re.fullmatch(rf"projects/[^/]+/locations/[^/]+/{collection}/[^/]+", name):
        return name
    return f"{parent}/{collection}/{name}" if re.fullmatch(r"\d+", name) else ""


def named(resource: _Resource) -> str:
    """A resource in a message: by both of its names."""
    number = resource.name.rpartition("/")[2]
    return f"{resource.display_name} ({number})" if resource.display_name else number


def _named(found: Iterable[R], display_name: str) -> list[R]:
    return [one for one in found if display_name in ("", one.display_name)]


def _only(found: list[R], what: str, name: str) -> R | None:
    if len(found) > 1:
        numbers = ", ".join(one.name.rpartition("/")[2] for one in found)
        raise _several(f"more than one {what} is called {name!r}: {numbers}", what)
    return found[0] if found else None


def _by_id(endpoint: IndexEndpoint, wanted: str) -> DeployedIndex:
    for deployed in endpoint.deployed_indexes:
        if deployed.id == wanted:
            return deployed
    there = ", ".join(d.id for d in endpoint.deployed_indexes) or "none"
    raise VertexError(
        f"vertex: the endpoint {named(endpoint)} has no deployed index {wanted!r}; it has: {there}",
        code="NOT_FOUND",
    )


def _or_none(get: Callable[[str], R], name: str) -> R | None:
    try:
        return get(name)
    except VertexError as error:
        if error.code != "NOT_FOUND":
            raise
        return None


def _missing(what: str, name: str, parent: str) -> VertexError:
    return VertexError(
        f"vertex: there is no {what} {name!r} in {parent}; make one "
        "(harness index create), or see project, location and the name",
        code="NOT_FOUND",
    )


def _several(what: str, setting: str) -> VertexError:
    return VertexError(f"vertex: {what}; say which: {setting}=…", code="INVALID_ARGUMENT")


def _not_deployed(what: str, wanted: str, where: str = "any endpoint") -> VertexError:
    by = f" as {wanted}" if wanted else ""
    return VertexError(
        f"vertex: {what} is not deployed{by} at {where}, so it cannot be searched or read; "
        "deploy it: harness index serve",
        code="FAILED_PRECONDITION",
    )
