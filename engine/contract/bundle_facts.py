"""The file of a bundle's facts, and the hash by which a change of it is noticed."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

FACTS_NAME: Final = "bundle.json"


def facts_digest(plain: dict[str, Any]) -> str:
    """Return a hash of a bundle's facts as JSON-ready values, with which a change is noticed.

    SHA-256 of the JSON with sorted keys and without blanks; ``facts_digest`` itself doesn't count.
    """
    counted = {name: value for name, value in plain.items() if name != "facts_digest"}
    text = json.dumps(counted, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
