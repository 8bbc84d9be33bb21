"""Makes the goldens in Tests/Goldens/chat_templates with jinja2 (3.1.6 when they were made).

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install jinja2==3.1.6
    /tmp/venv/bin/python Tests/Goldens/make_chat_templates.py

`language.jsonl`: one row for each piece of `language.txt` (pieces are separated by lines of `---`; a piece without a tag
is an expression). `styles.jsonl`: templates in the styles of published checkpoints (`styles/*.jinja`), written for this
repository, over several conversations. A row without `template` gives the context of the rows after it.
"""

from pathlib import Path

import jinja_reference

FOLDER = Path(__file__).parent / "chat_templates"

LANGUAGE_CONTEXT = {
    "s": "Hello, World", "u": "héß\nΣΑΣ ÀÉ", "l": [3, 1, 2], "d": {"b": 2, "a": [1, None, True, 1.5]}, "n": None,
    "f": 2.5, "t": True, "z": 0, "e": "",
    "ms": [
        {"role": "user", "content": " hi ", "k": {"x": 1}},
        {"role": "Assistant", "content": "yo", "k": {"x": 0}},
        {"role": "user", "content": "bye"},
    ],
}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather at a place <now> & later",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "Name, e.g. \"Köln\""},
                    "days": {"type": "integer", "default": 1},
                    "units": {"type": ["string", "null"], "enum": ["C", "F"]},
                },
                "required": ["place"],
            },
            "return": {"type": "string"},
        },
    },
]

USER = {"role": "user", "content": "Was ist das? <|im_start|> 你好\n"}
ASSISTANT = {"role": "assistant", "content": " <think>\nHm.\n</think>\n\nA cat. "}
PARTS = {
    "role": "user",
    "content": [
        {"type": "image", "image": "a.png"},
        {"type": "text", "text": "Compare with"},
        {"type": "image_url", "image_url": {"url": "b.png"}},
        {"type": "video", "video": "c.mp4"},
        {"type": "text", "text": "please."},
    ],
}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "abcdefghi", "type": "function",
         "function": {"name": "get_weather", "arguments": {"place": "Köln", "days": 2, "exact": True, "x": 1.50}}},
    ],
}
RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "abcdefghi", "content": "{\"t\": 21.5}"}

CONVERSATIONS = {
    "single": {"messages": [USER]},
    "system": {"messages": [{"role": "system", "content": "Be brief."}, USER]},
    "turns": {"messages": [{"role": "system", "content": "Be brief."}, USER, ASSISTANT, {"role": "user", "content": "Sure?"}]},
    "parts": {"messages": [PARTS], "add_vision_id": True},
    "tools": {"messages": [{"role": "user", "content": "Weather?"}, CALL, RESULT, ASSISTANT], "tools": TOOLS},
    "empty": {"messages": []},
    "roles": {"messages": [USER, USER]},
}


def main():
    env = jinja_reference.environment()
    rows = [{"context": LANGUAGE_CONTEXT}]
    for index, piece in enumerate((FOLDER / "language.txt").read_text(encoding="utf-8")[:-1].split("\n---\n")):
        template = piece if any(mark in piece for mark in ("{{", "{%", "{#")) else "{{ " + piece + " }}"
        row = jinja_reference.case(env, f"language/{index}", template, LANGUAGE_CONTEXT)
        del row["context"]
        # Addresses differ from run to run, and JSON has no lone surrogates.
        text = row.get("rendered", "")
        if " object " in text or " at 0x" in text or any(0xD800 <= ord(c) < 0xE000 for c in text):
            continue
        rows.append(row)
    jinja_reference.write(FOLDER / "language.jsonl", rows)

    rows = []
    styles = sorted((FOLDER / "styles").glob("*.jinja"))
    for name, conversation in CONVERSATIONS.items():
        for prompt in (True, False):
            context = conversation | {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": prompt}
            rows.append({"context": context})
            for style in styles:
                row = jinja_reference.case(env, f"{style.stem}/{name}/{prompt}", style.read_text(encoding="utf-8"), context)
                del row["context"]
                row["template"] = f"styles/{style.name}"
                rows.append(row)
    jinja_reference.write(FOLDER / "styles.jsonl", rows)


if __name__ == "__main__":
    main()
