"""An emulator of Vertex AI Vector Search on the index core of the harness.

`emulator.py` puts the parts together. The services: `indexes.py`, `endpoints.py`, `operations.py`
(control plane), `matching.py` (public queries), `private.py` (private queries). What they stand on:
`store.py` and `resources.py` (what is kept), `contents.py` (the vectors), `importing.py` and
`records.py` (files of a bucket), `serving.py` (gRPC).
"""
