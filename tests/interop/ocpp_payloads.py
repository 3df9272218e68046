"""Payloads for every request of OCPP, valid and broken, made from the JSON schemas that PyPI's `ocpp` carries.

Each comes with what is right to answer: nothing, or the CALLERROR's code. The codes are those of OCPP-J
(1.6J, 4.2.3; 2.0.1 part 4, 4.3): a field too few, an array too short or too long: Occurrence; a value of
another JSON type: TypeConstraint; a value that its type forbids: PropertyConstraint.
"""

import copy
import json
from decimal import Decimal
from pathlib import Path

import ocpp
from jsonschema import Draft4Validator

FOLDERS = {"1.6": "v16", "2.0.1": "v201"}
FORMAT = {"1.6": "FormationViolation", "2.0.1": "FormatViolation"}
OCCURRENCE = {"1.6": "OccurenceConstraintViolation", "2.0.1": "OccurrenceConstraintViolation"}
TYPE = "TypeConstraintViolation"
PROPERTY = "PropertyConstraintViolation"

# A string of the right form for fields that have one.
FORMS = {"date-time": "2026-06-01T12:00:00Z", "uri": "https://csms.example/file"}


def schema_of(version, action):
    name = action if version == "1.6" else f"{action}Request"
    path = Path(ocpp.__file__).parent / FOLDERS[version] / "schemas" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8-sig"))


UNKNOWN_FIELD = "a field that nobody knows"
UMLAUTS = "as long as it may be, of umlauts"
BAD_TIME = "a time that is"


class Payloads:
    """The payloads of one request: (what is particular, payload, the right code or None)."""

    def __init__(self, version, action):
        self.version = version
        self.schema = schema_of(version, action)
        # 1.6 bounds decimals by `multipleOf 0.1`, which only decimals can be held to.
        self.validator = Draft4Validator(exactly(self.schema))

    def conforms(self, payload):
        """What the schema says."""
        return self.validator.is_valid(exactly(payload))

    def resolve(self, schema):
        while "$ref" in schema:
            name = schema["$ref"].removeprefix("#/definitions/")
            schema = self.schema["definitions"][name]
        return schema

    def value(self, schema, full):
        """A valid value: the least that is allowed, or with everything in it."""
        schema = self.resolve(schema)
        if "enum" in schema:
            return schema["enum"][-1 if full else 0]
        match schema.get("type"):
            case "object":
                required = schema.get("required", [])
                properties = schema.get("properties", {})
                # `customData` is for vendors: whatever is in it says nothing of the field around it.
                wanted = [name for name in properties if name in required or (full and name != "customData")]
                return {name: self.value(properties[name], full) for name in wanted}
            case "array":
                count = max(schema.get("minItems", 0), 1 if full else 0)
                return [self.value(schema["items"], full) for _ in range(count)]
            case "string":
                form = FORMS.get(schema.get("format"))
                return form or "x" * min(schema.get("maxLength", 10), 10)
            case "integer":
                return int(schema.get("minimum", 1))
            case "number":
                return schema.get("minimum", 8.1)
            case "boolean":
                return True
            case _:
                # Anything at all: customData and DataTransfer's data.
                return "x"

    def fields(self, schema, value, path=()):
        """Every field of a full payload: its path, its schema, whether it is required, its parent's value."""
        schema = self.resolve(schema)
        if isinstance(value, dict):
            for name, part in schema.get("properties", {}).items():
                if name in value:
                    yield (*path, name), self.resolve(part), name in schema.get("required", [])
                    yield from self.fields(part, value[name], (*path, name))
        elif isinstance(value, list) and value:
            yield from self.fields(schema["items"], value[0], (*path, 0))
            yield (*path, 0), self.resolve(schema["items"]), None

    def all(self):
        full = self.value(self.schema, True)
        yield "least", self.value(self.schema, False), None
        yield "full", full, None
        for payload in ([], "x", 7, None):
            yield f"a payload that is {payload!r}", payload, FORMAT[self.version]
        seen = set()
        for path, schema, required in self.fields(self.schema, full):
            if path in seen:
                continue
            seen.add(path)
            where = ".".join(map(str, path))
            for what, value, code in self.variants(schema):
                yield f"{where}: {what}", with_field(full, path, value), code
            if required is not None:
                code = OCCURRENCE[self.version] if required else None
                yield f"{where}: missing", without_field(full, path), code
        if "customData" in self.schema.get("properties", {}):
            yield "with custom data", {**full, "customData": {"vendorId": "x", "more": [1, {"a": None}]}}, None
            long = {**full, "customData": {"vendorId": "x" * 256}}
            yield "custom data of a vendor with too long a name", long, PROPERTY
            yield "custom data of no vendor", {**full, "customData": {}}, OCCURRENCE[self.version]
        yield UNKNOWN_FIELD, {**full, "vendorInvented": {"a": [1]}}, None

    def variants(self, schema):
        """Other values of a field: (what, value, the right code or None)."""
        kind = schema.get("type")
        if kind is None:
            return
        others = {"object": {}, "array": [], "string": "x", "integer": 1, "number": 1.5, "boolean": False}
        for other, value in others.items():
            if other != kind and not (kind == "number" and other == "integer"):
                yield f"{other} instead of {kind}", value, TYPE
        yield f"null instead of {kind}", None, TYPE
        match kind:
            case "string" if "enum" in schema:
                for word in schema["enum"]:
                    yield f"is {word}", word, None
                yield "a word that is none", "NoSuchWord", PROPERTY
                yield "a word in small letters", schema["enum"][0].lower() + "_", PROPERTY
                yield "an empty word", "", PROPERTY
            case "string":
                if schema.get("format") == "date-time":
                    yield "with an offset", "2026-06-01T14:00:00.125+02:00", None
                    for bad in ("", "tomorrow", "2026-13-01T00:00:00Z", "2026-06-01"):
                        yield f"{BAD_TIME} {bad!r}", bad, PROPERTY
                elif "format" not in schema and "maxLength" in schema:
                    yield "as long as it may be", "x" * schema["maxLength"], None
                    yield "with umlauts", "ü" * (schema["maxLength"] // 2), None
                    yield UMLAUTS, "ü" * schema["maxLength"], None
                    yield "too long", "x" * (schema["maxLength"] + 1), PROPERTY
                    yield "far too long", "x" * (schema["maxLength"] + 5000), PROPERTY
            case "array":
                item = self.value(schema["items"], True)
                occurrence = OCCURRENCE[self.version]
                if schema.get("minItems", 0) > 0:
                    yield "with too few", [item] * (schema["minItems"] - 1), occurrence
                else:
                    yield "with none", [], None
                if "maxItems" in schema:
                    yield "with as many as may be", [item] * schema["maxItems"], None
                    yield "with too many", [item] * (schema["maxItems"] + 1), occurrence
                else:
                    yield "with several", [item] * 3, None
            case "integer" | "number":
                if "minimum" in schema:
                    yield "too low", int(schema["minimum"]) - 1, PROPERTY
                if "maximum" in schema:
                    yield "too high", int(schema["maximum"]) + 1, PROPERTY
                if "multipleOf" in schema:
                    for good in (0, 0.1, 16, 21.4, 32.7, 1000000.1):
                        yield f"is {good}", good, None
                    yield "with two decimals", 4.11, PROPERTY


def exactly(value):
    return json.loads(json.dumps(value), parse_float=Decimal)


def with_field(payload, path, value):
    payload = copy.deepcopy(payload)
    place = payload
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return payload


def without_field(payload, path):
    payload = copy.deepcopy(payload)
    place = payload
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return payload
