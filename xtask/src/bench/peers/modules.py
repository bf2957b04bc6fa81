"""Prints which of the modules in the argument, a JSON list, are missing."""

import importlib.util
import json
import sys

print(json.dumps([name for name in json.loads(sys.argv[1]) if importlib.util.find_spec(name) is None]))
