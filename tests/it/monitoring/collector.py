"""A collector of OpenTelemetry by HTTP: decodes what arrives and appends it to a file as JSON lines.

Arguments: port, file, and, for TLS, a file with certificate and key.
"""

import http.server
import json
import ssl
import sys

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

port, path = int(sys.argv[1]), sys.argv[2]


def plain(attributes):
    def value(any_value):
        return getattr(any_value, any_value.WhichOneof("value") or "string_value")

    return {one.key: str(value(one.value)) for one in attributes}


def traces(request):
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "signal": "span", "name": span.name, "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(), "parent": span.parent_span_id.hex(),
                    "attributes": plain(span.attributes), "resource": plain(resource.resource.attributes),
                }


def metrics(request):
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield {
                    "signal": "metric", "name": metric.name, "unit": metric.unit,
                    "kind": metric.WhichOneof("data"), "resource": plain(resource.resource.attributes),
                }


def logs(request):
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield {
                    "signal": "log", "body": record.body.string_value, "severity": record.severity_text,
                    "attributes": plain(record.attributes), "resource": plain(resource.resource.attributes),
                }


KINDS = {
    "/v1/traces": (ExportTraceServiceRequest, traces),
    "/v1/metrics": (ExportMetricsServiceRequest, metrics),
    "/v1/logs": (ExportLogsServiceRequest, logs),
}


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        kind, lines = KINDS[self.path]
        assert self.headers["Content-Type"] == "application/x-protobuf"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = kind.FromString(body)
        with open(path, "a", encoding="utf-8") as out:
            for line in lines(request):
                line["key"] = self.headers.get("x-key")
                out.write(json.dumps(line) + "\n")
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Collector)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
