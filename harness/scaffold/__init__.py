"""A new plugin package, written whole: `names` says what it is called, `writing` writes it.

What it is made of lies in `templates/`: `package/` is the same for all, and a folder a role holds
the module and its tests. `$` begins what is filled in.
"""

from harness.scaffold.names import Names, names_for
from harness.scaffold.writing import write_plugin

__all__ = ["Names", "names_for", "write_plugin"]
