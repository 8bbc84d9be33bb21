"""OpenAI's own client against a server of omma: pictures, streams, tools, structured output, scores, errors."""

import base64
import json
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import jsonschema
import openai
from pydantic import BaseModel, Field

URL, KEY = sys.argv[1], sys.argv[2]
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0, timeout=300)
MODEL = client.models.list().data[0].id
CHECKS = 0


def check(holds: object, what: object = "") -> None:
    global CHECKS
    CHECKS += 1
    if not holds:
        raise AssertionError(what)


def png(width: int, height: int, colour: tuple[int, int, int]) -> str:
    """A picture of one colour with a white square in it, as a data URL."""
    rows = b"".join(
        b"\0" + b"".join(bytes((255, 255, 255) if x < width // 3 and y < height // 3 else colour) for x in range(width))
        for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    file += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(file).decode()


def question(text: str, *pictures: str) -> list[dict]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
    return [{"role": "user", "content": parts + [{"type": "text", "text": text}]}]


def ask(messages: list[dict], **more):
    more = {"temperature": 0, "max_completion_tokens": 24} | more
    return client.chat.completions.create(model=MODEL, messages=messages, **more)


def fails(kind: type[openai.APIStatusError], **more) -> openai.APIStatusError:
    try:
        ask(**({"messages": question("Hi")} | more))
    except kind as error:
        check(error.body and error.body["message"], error)
        return error
    raise AssertionError(f"no {kind.__name__} for {more}")


# Pictures, whole and streamed.
red, blue = png(120, 90, (200, 30, 30)), png(90, 120, (30, 30, 200))
whole = ask(question("What colour is it?", red))
check(whole.choices[0].finish_reason in ("stop", "length") and whole.usage.completion_tokens <= 24, whole)
two = ask(question("Which is larger?", red, blue))
check(two.usage.prompt_tokens > whole.usage.prompt_tokens, two)
stream = list(ask(question("What colour is it?", red), stream=True, stream_options={"include_usage": True}))
text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
check(text == whole.choices[0].message.content, (text, whole))
check(stream[-1].usage.total_tokens == whole.usage.total_tokens, stream[-1])
video = [{"role": "user", "content": [{"type": "video", "video": [red, red, red, red], "fps": 2},
                                      {"type": "text", "text": "What happens?"}]}]
check(ask(video).usage.prompt_tokens > 20)

# Several answers, seeds, stops, scores.
several = [[choice.message.content for choice in ask(question("Tell"), n=3, temperature=1.3, seed=5).choices]
           for _ in range(2)]
check(several[0] == several[1] and len(several[0]) == 3, several)
scored = ask(question("Hi", red), logprobs=True, top_logprobs=3).choices[0]
check(all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in scored.logprobs.content), scored)
# Tokens that stand for no text, as the marks of boxes, are among the tokens and not in the content.
written = b"".join(bytes(token.bytes) for token in scored.logprobs.content)
check(scored.message.content.encode() in written, scored)
content = whole.choices[0].message.content
if len(content) > 2:
    check(content[1] not in ask(question("What colour is it?", red), stop=[content[1]]).choices[0].message.content)


# Structured output.
class Shape(BaseModel):
    name: Literal["circle", "square", "star"]
    colour: str = Field(max_length=12)
    corners: int


class Picture(BaseModel):
    shapes: list[Shape] = Field(max_length=3)
    is_empty: bool


parsed = client.chat.completions.parse(
    model=MODEL, messages=question("Describe it.", red), response_format=Picture, max_completion_tokens=600,
    temperature=1, seed=1)
check(isinstance(parsed.choices[0].message.parsed, Picture), parsed)
anything = ask(question("As JSON."), response_format={"type": "json_object"}, max_completion_tokens=600, temperature=1,
               seed=1)
if anything.choices[0].finish_reason == "stop":
    check(isinstance(json.loads(anything.choices[0].message.content), dict), anything)

# What schemas ask for, judged by jsonschema.
object_of = lambda **properties: {"type": "object", "properties": properties, "required": list(properties),
                                  "additionalProperties": False}
SCHEMAS = [
    object_of(code={"type": "string", "pattern": "^[A-Z]{2}-\\d{3}$"}, day={"type": "string", "format": "date"}),
    object_of(at={"type": "string", "format": "date-time"}, id={"type": "string", "format": "uuid"}),
    object_of(share={"type": "number", "minimum": 0, "exclusiveMaximum": 1},
              count={"type": "integer", "minimum": -3, "maximum": 250, "multipleOf": 5}),
    object_of(host={"type": "string", "format": "ipv4"}, word={"type": "string", "minLength": 2, "maxLength": 6}),
    {"oneOf": [object_of(kind={"const": "circle"}, radius={"type": "number", "exclusiveMinimum": 0}),
               object_of(kind={"const": "box"}, sides={"type": "array", "prefixItems": [{"type": "integer"}] * 2,
                                                      "items": False, "minItems": 2})]},
    {"$defs": {"node": object_of(name={"enum": ["a", "b"]}, next={"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]})},
     "$ref": "#/$defs/node"},
    {"allOf": [object_of(x={"type": "integer", "minimum": 7, "maximum": 9}) | {"additionalProperties": True},
               {"properties": {"y": {"type": "boolean"}}, "required": ["y"]}]},
    {"type": "object", "additionalProperties": {"type": ["boolean", "null"]}, "propertyNames": {"pattern": "^k[0-9]$"},
     "maxProperties": 3},
    object_of(text={"type": "string", "pattern": "(cat|dog)s?$", "maxLength": 12}),
]
judged = cut = 0
for schema in SCHEMAS:
    judge = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    for seed in range(4):
        answer = ask(question("As JSON.", red), temperature=1.3, seed=seed, max_completion_tokens=300, response_format={
            "type": "json_schema", "json_schema": {"name": "judged", "schema": schema, "strict": True}}).choices[0]
        if answer.finish_reason == "length":
            cut += 1
            continue
        judge.validate(json.loads(answer.message.content))
        judged += 1
check(judged > 24, (judged, cut))

# Tools.
tool = {"type": "function", "function": {
    "name": "crop", "description": "Cuts a piece out of the picture.",
    "parameters": {"type": "object", "properties": {"side": {"enum": ["left", "right"]}, "pixels": {"type": "integer"}},
                   "required": ["side", "pixels"], "additionalProperties": False}}}
called = ask(question("Cut it.", red), tools=[tool], tool_choice="required", max_completion_tokens=200)
call = called.choices[0].message.tool_calls[0]
arguments = json.loads(call.function.arguments)
check(call.function.name == "crop" and arguments["side"] in ("left", "right"), called)
check(called.choices[0].finish_reason == "tool_calls", called)
chunks = list(ask(question("Cut it.", red), tools=[tool], tool_choice="required", max_completion_tokens=200,
                  stream=True))
pieces = [piece for chunk in chunks if chunk.choices for piece in chunk.choices[0].delta.tool_calls or []]
check("".join(piece.function.arguments for piece in pieces) == call.function.arguments, pieces)
answered = question("Cut it.", red) + [called.choices[0].message.model_dump(exclude_none=True), {
    "role": "tool", "tool_call_id": call.id, "content": "Done."}]
check(ask(answered, tools=[tool]).usage.prompt_tokens > called.usage.prompt_tokens)

# Completions.
completion = client.completions.create(model=MODEL, prompt="Once", max_tokens=5, temperature=0)
check(completion.choices[0].finish_reason in ("stop", "length"), completion)

# Errors.
fails(openai.BadRequestError, temperature=7)
fails(openai.BadRequestError, messages=[])
fails(openai.BadRequestError, response_format={"type": "json_schema", "json_schema": {
    "name": "x", "schema": {"type": "string", "pattern": "(?=looks)ahead"}}})
fails(openai.BadRequestError, messages=question("Hi", "https://example.com/a.png"))
fails(openai.BadRequestError, messages=question("Hi", "data:image/png;base64,aGVsbG8=")[:0] or question("x" * 10**6))
fails(openai.BadRequestError, extra_body={"temprature": 1})
check(fails(openai.APIStatusError, messages=question("Hi", "data:image/png;base64,aGVsbG8gd29ybGQ=")).status_code == 415)
try:
    client.chat.completions.create(model="other", messages=question("Hi"))
    raise AssertionError("a model that is not there answered")
except openai.NotFoundError as error:
    check(error.code == "model_not_found")
try:
    openai.OpenAI(base_url=URL + "/v1", api_key="wrong", max_retries=0).models.list()
    raise AssertionError("a wrong key let somebody in")
except openai.AuthenticationError as error:
    check(error.code == "invalid_api_key")

# Many at once get what each gets alone.
questions = [question(f"Question {index}?", *([red, blue][index % 3 - 1:index % 3])) for index in range(6)]
alone = [ask(messages).choices[0].message.content for messages in questions]
with ThreadPoolExecutor(16) as pool:
    together = list(pool.map(lambda index: ask(questions[index % 6]).choices[0].message.content, range(32)))
check(all(answer == alone[index % 6] for index, answer in enumerate(together)), together)

print(f"openai {openai.__version__}: {CHECKS} checks passed; {judged} answers under {len(SCHEMAS)} schemas judged by jsonschema, "
      f"0 wrong, {cut} cut by their length")
