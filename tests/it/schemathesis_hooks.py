"""What schemathesis has to be told of bodies that it does not know."""

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
