"""GET /v1/openapi.json: the JSON door as an OpenAPI 3.1 document. The shapes are those of till_schema, said once.

It is held true by a test that lets schemathesis ask the running server for everything that stands here.
"""

from collections.abc import Sequence
from typing import Any

from posd.core.state import TxnStatus
from posd.daemon.shown.questions import version
from posd.daemon.till.schema import ID_PATTERN, KEY_CHARACTERS_MAX, KEY_PATTERN, ORDERS, schemas
from posd.values import BATCH_NUMBER_MAX

LISTED_MAX = 500
"""Transactions of one list; more would keep the loop busy for too long."""

REF = "#/components/schemas/{name}"
_BARE = KEY_PATTERN[1:-1]

KEY_HEADER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": (
        f"New for each order, at most {KEY_CHARACTERS_MAX} characters, with or without quotes; a UUID. It is the id of "
        "the transaction: the same order with the same key is answered from the journal and never done twice; another "
        "order with the same key is refused with 409."
    ),
    "schema": {"type": "string", "pattern": f'^({_BARE}|"{_BARE}")$'},
    "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
}
WISH_HEADER: dict[str, Any] = {
    **KEY_HEADER,
    "description": (
        "New for each wish. Asked again, it gives the first answer, until posd is restarted or 64 others have come; a "
        "batch is closed once whatever comes, and one in which nothing is to be settled is not."
    ),
}
ID: dict[str, Any] = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The Idempotency-Key of a till's order, or the id that the list gives.",
    "schema": {"type": "string", "pattern": ID_PATTERN},
}
FILTERS: list[dict[str, Any]] = [
    {"name": "batch", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": BATCH_NUMBER_MAX}},
    {"name": "status", "in": "query", "schema": {"type": "string", "enum": [status.value for status in TxnStatus]}},
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": LISTED_MAX}},
]
NAMES = {
    400: "Not readable: JSON, a header, a parameter; `where` says which.",
    401: "The bearer token is missing or wrong (TCP only).",
    403: "The configuration does not allow it.",
    404: "No such terminal, transaction or original.",
    405: "This path does not know the method; see the header Allow.",
    408: "The request took too long to come.",
    409: "It is not as the request supposes: the key was used for another order, the sale is voided, and the like.",
    413: "The body is too long.",
    414: "The path is too long.",
    415: "The body is not application/json.",
    422: "JSON, but not an order; `where` says what is wrong.",
    429: "Too many wrong tokens within a minute (TCP only).",
    431: "The headers are too long, or too many.",
    500: "A fault of posd's own.",
    501: "A transfer encoding that is not served.",
    503: "Not now, and nothing was sent.",
    504: "No outcome: `outcome_unknown` is a failure that is undone, `in_doubt` a refund that is not.",
}

OF_EVERY_VERB = frozenset({400, 401, 405, 408, 413, 414, 429, 431, 500, 501, 503})
"""What any request may be told, by the door, before or instead of its verb."""


def document(cards_accepted: bool, tids: Sequence[str]) -> dict[str, Any]:
    """The whole document; `cards_accepted` is told only, the shapes are the same. `tids`: the terminals."""
    cards = "accepted" if cards_accepted else "refused: name a sale that posd knows by `original`"
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "posd, the door for tills",
            "version": version(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": (
                "A till orders card transactions of a terminal. Amounts are decimal text. Errors are problem+json. "
                f"Card data from tills is {cards}."
            ),
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": _paths(_tid(tids)),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "On TCP, not on the socket."}
            },
        },
    }


def _schemas() -> dict[str, Any]:
    """As msgspec makes them; what several members say together is added, so that the document says it too."""
    found = schemas(REF)
    for shape, name in (("RefundOrder", "sale"), ("CompletionOrder", "preauth"), ("PreauthVoidOrder", "preauth")):
        found[shape]["oneOf"] = [
            {"required": ["original"], "properties": {name: False, "card": False}},
            {"required": [name, "card", "amount"], "properties": {"original": False}},
        ]
    return found


def _tid(tids: Sequence[str]) -> dict[str, Any]:
    schema = {"type": "string", "enum": list(tids)}
    return {"name": "tid", "in": "path", "required": True, "description": "A terminal id.", "schema": schema}


def _paths(tid: dict[str, Any]) -> dict[str, Any]:
    transactions = "/v1/terminals/{tid}/transactions"
    return {
        transactions: {
            "parameters": [tid],
            "post": _verb(
                "order", "Order a transaction", _ok(200, "It is done: look at its status.", "Transaction"),
                (403, 404, 409, 415, 422, 504), [KEY_HEADER], _order_body(),
            ),
            "get": _verb(
                "list", "Those of the last batches", _ok(200, "The newest, oldest first.", "TransactionList"),
                (404,), FILTERS,
            ),
        },
        transactions + "/{id}": {
            "parameters": [tid, ID],
            "get": _verb("show", "One transaction", _ok(200, "As it is now.", "Transaction"), (404, 409)),
        },
        transactions + "/{id}/confirm": {
            "parameters": [tid, ID],
            "post": _verb(
                "confirm", "Say that the till has the approval", _ok(200, "It stands.", "Transaction"),
                (403, 404, 409, 415, 422, 504), [], _empty_body(),
            ),
        },
        "/v1/terminals/{tid}/settlements": {
            "parameters": [tid],
            "post": _verb(
                "settle", "Make the settlement due now", _ok(202, "It goes on by itself.", "SettlementAccepted"),
                (403, 404, 409, 415, 422), [WISH_HEADER], _empty_body(),
            ),
        },
        "/v1/events": {"get": _events()},
        "/v1/health": {"get": _verb("health", "How posd is", _ok(200, "Look at `good`.", "Health"), ())},
        "/v1/openapi.json": {"get": _verb("openapi", "This document", _document(), ())},
    }  # fmt: skip


def _verb(
    name: str,
    summary: str,
    good: dict[str, Any],
    problems: tuple[int, ...],
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    responses = {**good, **{str(status): _problem(status) for status in sorted({*OF_EVERY_VERB, *problems})}}
    said: dict[str, Any] = {"operationId": name, "summary": summary, "responses": responses}
    if parameters:
        said["parameters"] = parameters
    if body:
        said["requestBody"] = body
    return said


def _ok(status: int, description: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": REF.format(name=schema)}}}
    return {str(status): {"description": description, "content": content}}


def _document() -> dict[str, Any]:
    return {"200": {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}}}


def _problem(status: int) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}}
    return {"description": NAMES[status], "content": content}


def _order_body() -> dict[str, Any]:
    mapping = {str(shape.__struct_config__.tag): REF.format(name=shape.__name__) for shape in ORDERS}
    orders = [{"$ref": place} for place in mapping.values()]
    discriminator = {"propertyName": "type", "mapping": mapping}
    schema = {"oneOf": orders, "discriminator": discriminator}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _empty_body() -> dict[str, Any]:
    return {"required": False, "content": {"application/json": {"schema": {"$ref": REF.format(name="Empty")}}}}


def _events() -> dict[str, Any]:
    """Endless: a client leaves when it has seen enough."""
    number = {"type": "string", "pattern": "^[0-9]{1,18}$"}
    parameters = [
        {"name": "Last-Event-ID", "in": "header", "schema": number, "description": "Go on after this event."},
        {"name": "after", "in": "query", "schema": number, "description": "The same, for clients without that header."},
    ]
    described = "Server-sent events; the id of each is its journal sequence, its data one JSON object."
    good = {"200": {"description": described, "content": {"text/event-stream": {"schema": {"type": "string"}}}}}
    return _verb("events", "What happens, as it becomes durable", good, (), parameters)
