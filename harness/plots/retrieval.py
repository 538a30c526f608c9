"""The picture of a search: how much it finds, against how long it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.plots.layout import Plot, Trace, axis, colour, dash, layout, number, words


def recall_latency(series: Mapping[str, Sequence[Mapping[str, object]]]) -> Plot:
    """A line a series, of points with `recall`, `latency_us` and a `label`; latency is logarithmic.

    A point without the two numbers is left out. Better is up and to the left.
    """
    data = [_line(place, name, points) for place, (name, points) in enumerate(series.items())]
    made = layout(
        380,
        xaxis=axis("latency, µs a query", type="log"),
        yaxis=axis("recall", rangemode="normal"),
        showlegend=len(series) > 1,
    )
    return {"data": data, "layout": made}


def _line(place: int, name: str, points: Sequence[Mapping[str, object]]) -> Trace:
    known = [
        (latency, recall, str(point.get("label", "")))
        for point in points
        if (latency := number(point.get("latency_us"))) is not None
        and (recall := number(point.get("recall"))) is not None
    ]
    known.sort()
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": words(name),
        "x": [latency for latency, _, _ in known],
        "y": [recall for _, recall, _ in known],
        "text": [words(label) for _, _, label in known],
        "line": {"color": colour(place), "dash": dash(place)},
        "marker": {"size": 8},
        "hovertemplate": "%{text}<br>recall %{y:.4f}, %{x:.4g} µs<extra>%{fullData.name}</extra>",
    }
