"""Knowledge that the OpenAPI document cannot give to Schemathesis."""

import itertools
import os

import schemathesis
from hypothesis import strategies as st

OWN_KEY = os.environ["OWN_KEY_ID"]
FEED_CURSOR = os.environ["FEED_CURSOR"]
KEYS = itertools.count()
# The beginnings of the messages about what is refused at any depth of a body.
ANYWHERE = ("cannot be kept exactly", "is not accepted as the name of a member")

# Cursors are opaque. These are examples of cursors that the service returns.
schemathesis.openapi.format("feed-cursor", st.sampled_from(["0", "now", FEED_CURSOR]))
schemathesis.openapi.format("event-id", st.just(FEED_CURSOR))
schemathesis.openapi.format("list-cursor", st.just("WyJlbWFpbCIsbnVsbCwiYWRhQGV4YW1wbGUuY29tIl0"))
schemathesis.openapi.format("history-cursor", st.sampled_from(["djEw", "djEwMA"]))

# The built-in strategy generates quoted local parts and address literals, which RFC 5321 permits and this service refuses.
USUAL = st.from_regex(r"[a-z0-9_+-]{1,20}([.][A-Za-z0-9_+-]{1,20})?@([a-z0-9]{1,20}[.]){1,3}[a-z]{2,6}", fullmatch=True)
# One character below the maximum length, the maximum, and one above. Searching for such emails in vain took half of the coverage phase.
AT_THE_LIMIT = st.sampled_from([f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * length}.com" for length in (56, 57, 58)])
schemathesis.openapi.format("email", USUAL | AT_THE_LIMIT)

NDJSON = [
    '{"email":"line1@example.com","status":"active","plan":"pro"}',
    '{"email":"line2@example.com","status":"expired","metadata":{"a":[1]}}',
    '{"email":"nobody","status":"active"}',
    '{"email":"line1@example.com"}',
    "not JSON",
    "",
]
CSV = ["row1@example.com,active", "row2@example.com,expired", "nobody,active", "row1@example.com,", ""]


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    return as_file(value, NDJSON, [])


@schemathesis.serializer("text/csv")
def csv(context, value):
    return as_file(value, CSV, ["email,status"])


def as_file(value, lines, head):
    """Sends an example unchanged. Maps each character of a random text to a line, because most random files contain no readable line."""
    text = value if isinstance(value, str) else str(value)
    if "\n" not in text:
        text = "\n".join([*head, *(lines[ord(character) % len(lines)] for character in text[:50])])
    return text.encode()


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Protects the key of Schemathesis, which it finds in the list of keys. After its revocation every response would be 401, as documented."""
    if path_parameters and path_parameters.get("id") == OWN_KEY:
        return {**path_parameters, "id": "0" * 16}
    return path_parameters


@schemathesis.hook
def before_call(context, case, kwargs):
    # The coverage phase fills headers that it does not test with `0`. As an Idempotency-Key this is the same key for all requests, so all but
    # the first would be 422. As an entity tag it is invalid, which the pattern says and the phase ignores, so all would be 400.
    for name, value in (("If-Match", "*"), ("If-None-Match", '"0"'), ("Idempotency-Key", f"coverage-{next(KEYS)}")):
        if case.headers and case.headers.get(name) == "0":
            case.headers[name] = value
    # Schemathesis fills X-Request-Id with ids of other resources, as numbers. A header that is not text ends the stateful phase.
    for name, value in (case.headers or {}).items():
        if not isinstance(value, (str, bytes)):
            case.headers[name] = str(value)
    # Few ids exist, so most numbers would be 404. In the stateful phase a request uses the id that an earlier request returned.
    number = (case.path_parameters or {}).get("id")
    random = case.meta.phase.name != "stateful"
    if random and isinstance(number, int) and 0 <= number <= 999_999_999_999_999:
        case.path_parameters["id"] = number % 50
    # A stream of future events stays silent, and Schemathesis would wait for it.
    if case.operation.path == "/events/stream" and (case.query or {}).get("after") == "now":
        case.query["after"] = "0"


@schemathesis.hook
def filter_failure(context, failure, case, response):
    kind = type(failure).__name__
    if kind == "RejectedPositiveData" and response.status_code == 400:
        errors = response.json().get("errors", [])
        # At any depth, a number that a 64-bit float would round is refused, and so are the names of JavaScript's prototypes. No schema can say
        # so for metadata.
        if errors and all(error["detail"].startswith(ANYWHERE) for error in errors):
            return False
        # A cursor belongs to one sort order, and each column of a file is mapped once. No schema can say so.
        return [error["field"] for error in errors] not in (["cursor"], ["columns"])
    if kind == "AcceptedNegativeData" and case.operation.path.endswith("/import"):
        # Any body of an import is text, so none has a wrong type. Errors of its lines are in the response.
        return not any(words in failure.message for words in ("in body", "body: violates"))
    if kind == "UseAfterFree":
        # These routes also serve deleted subscriptions.
        return not case.operation.path.endswith(("/replication", "/history"))
    return True
