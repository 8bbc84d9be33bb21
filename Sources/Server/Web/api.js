// The server's API as the page uses it.

async function failure(response) {
  let message = `The server answered ${response.status}.`;
  try { message = (await response.json()).error.message; } catch { /* no JSON: the status says it */ }
  return new Error(message);
}

async function call(path, body, signal) {
  const response = await fetch(path, {
    method: body ? "POST" : "GET", signal,
    headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body),
  });
  if (!response.ok) throw await failure(response);
  return response;
}

export const model = async () => (await (await call("/v1/models")).json()).data[0];

export const tokenize = async (messages, signal) => (await call("/tokenize", { messages }, signal)).json();

// A conversation's messages in the API's form.
export function apiMessages(messages, system) {
  const all = messages.filter((message) => !message.failed).map((message) => ({
    role: message.role,
    content: message.pictures.length
      ? [...message.pictures.map((picture) => ({ type: "image_url", image_url: { url: picture.url } })), { type: "text", text: message.text }]
      : message.text,
  }));
  return system ? [{ role: "system", content: system }, ...all] : all;
}

// Streams an answer; calls `onEvent` with every chunk.
export async function chat(request, signal, onEvent) {
  const body = { ...request, stream: true, stream_options: { include_usage: true } };
  const reader = (await call("/v1/chat/completions", body, signal)).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "", isDone = false;
  while (true) {
    const { done, value } = await reader.read();
    if (done) break;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") { isDone = true; continue; }
      const json = JSON.parse(data);
      if (json.error) throw new Error(json.error.message);
      onEvent(json);
    }
  }
  if (!isDone) throw new Error("The connection ended before the answer did.");
}
