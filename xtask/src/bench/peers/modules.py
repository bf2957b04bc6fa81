"""Prints which of the modules in the argument, a JSON list, are missing, and the C++ compiler."""

import importlib.util
import json
import os
import shutil
import sys

missing = [name for name in json.loads(sys.argv[1]) if importlib.util.find_spec(name) is None]
compiler = shutil.which(os.environ.get("CXX", "g++"))
print(json.dumps({"missing": missing, "compiler": compiler}))
