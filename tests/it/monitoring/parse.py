"""Reads a scrape as Prometheus' own clients do, and prints its samples as JSON lines: name, labels, value."""

import json
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

kind = {"open": openmetrics, "text": parser}[sys.argv[1]]
for family in kind.text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        print(json.dumps([sample.name, sample.labels, sample.value]))
