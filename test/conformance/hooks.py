"""What the OpenAPI document can't tell Schemathesis."""

import itertools
import os

import schemathesis
from hypothesis import strategies as st

OWN_KEY = os.environ["OWN_KEY_ID"]
FEED_CURSOR = os.environ["FEED_CURSOR"]
KEYS = itertools.count()

# Cursors are opaque: these are some that the service gives.
schemathesis.openapi.format("feed-cursor", st.sampled_from(["0", "now", FEED_CURSOR]))
schemathesis.openapi.format("event-id", st.just(FEED_CURSOR))
schemathesis.openapi.format("list-cursor", st.just("WyJlbWFpbCIsbnVsbCwiYWRhQGV4YW1wbGUuY29tIl0"))
schemathesis.openapi.format("history-cursor", st.sampled_from(["djEw", "djEwMA"]))

# Its own emails have quoted local parts and addresses for domains, which RFC 5321 has and nobody takes.
USUAL = st.from_regex(r"[a-z0-9_+-]{1,20}([.][A-Za-z0-9_+-]{1,20})?@([a-z0-9]{1,20}[.]){1,3}[a-z]{2,6}", fullmatch=True)
# One character less than may be, as many, and one more: looking for them in vain took half of the coverage phase.
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
    """An example goes as it is. Of a random text each character stands for a line: most random files have none that can be read."""
    text = value if isinstance(value, str) else str(value)
    if "\n" not in text:
        text = "\n".join([*head, *(lines[ord(character) % len(lines)] for character in text[:50])])
    return text.encode()


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Schemathesis finds its own key in the list of keys. Once revoked, all else would be 401, as documented, and nothing would be tested."""
    if path_parameters and path_parameters.get("id") == OWN_KEY:
        return {**path_parameters, "id": "0" * 16}
    return path_parameters


@schemathesis.hook
def before_call(context, case, kwargs):
    # The coverage phase fills headers that it is not about with `0`. As an Idempotency-Key that is one for all its requests, so all but the
    # first would be 422; as an entity tag it is none, which the pattern says and the phase does not see, so all would be 400.
    for name, value in (("If-Match", "*"), ("If-None-Match", '"0"'), ("Idempotency-Key", f"coverage-{next(KEYS)}")):
        if case.headers and case.headers.get(name) == "0":
            case.headers[name] = value
    # It gives X-Request-Id the numbers that it saw as ids of other things, as numbers; a header that is no text ends the stateful phase.
    for name, value in (case.headers or {}).items():
        if not isinstance(value, (str, bytes)):
            case.headers[name] = str(value)
    # There are few of these, so that most numbers would be 404. What follows on another request names what that has made.
    number = (case.path_parameters or {}).get("id")
    random = case.meta.phase.name != "stateful"
    if random and isinstance(number, int) and 0 <= number <= 999_999_999_999_999:
        case.path_parameters["id"] = number % 50
    # A stream of what is to come has nothing to say, and would be waited for.
    if case.operation.path == "/events/stream" and (case.query or {}).get("after") == "now":
        case.query["after"] = "0"


@schemathesis.hook
def filter_failure(context, failure, case, response):
    kind = type(failure).__name__
    if kind == "RejectedPositiveData" and response.status_code == 400:
        # A member of that name, which is no data to JavaScript, is refused at any depth; inside metadata no schema can say so.
        if "'__proto__'" in str(case.body):
            return False
        # A cursor belongs to one order of the list: no schema can say that it is refused with another one.
        return [error["field"] for error in response.json().get("errors", [])] != ["cursor"]
    if kind == "AcceptedNegativeData" and case.operation.path.endswith("/import"):
        # Whatever is sent as a file is text, so that no body is of a wrong type. Wrong lines are in the answer.
        return not any(words in failure.message for words in ("in body", "body: violates"))
    if kind == "UseAfterFree":
        # They tell of what was deleted, too.
        return not case.operation.path.endswith(("/replication", "/history"))
    return True
