"""comrec codecs: what can be asked for."""

from __future__ import annotations

import argparse
import json
from typing import Any

from comrec import codec as registry


def add(verbs: Any) -> None:
    """Declare the verb."""
    verb = verbs.add_parser("codecs", help="list the codecs", description=__doc__)
    verb.add_argument("--json", action="store_true", help="one JSON object a codec")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    coders = [registry.get(name) for name in registry.names()]
    if options.json:
        for coder in coders:
            fields = ("id", "extension", "extra", "summary")
            print(json.dumps({field: getattr(coder, field) for field in fields}))
    else:
        for coder in coders:
            needs = f"; needs comrec[{coder.extra}]" if coder.extra else ""
            print(f"{coder.id:20} {coder.extension:6} {coder.summary}{needs}")
    return 0
