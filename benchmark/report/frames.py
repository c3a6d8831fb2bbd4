"""benchmark.frames under the name that the pages have always read it by."""

from benchmark.frames import column as column
from benchmark.frames import groups as groups
from benchmark.frames import known as known
from benchmark.frames import rows as rows
from benchmark.frames import together as together
from benchmark.frames import where as where
