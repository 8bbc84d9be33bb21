// Conversations, kept in the browser (IndexedDB), shared by its tabs.

const channel = new BroadcastChannel("omma");

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("omma", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("conversations", { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function run(mode, body) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction("conversations", mode);
    const request = body(transaction.objectStore("conversations"));
    transaction.oncomplete = () => { database.close(); resolve(request.result); };
    transaction.onerror = transaction.onabort = () => { database.close(); reject(transaction.error); };
  });
}

export const newConversation = () => ({ id: crypto.randomUUID(), title: "", changed: Date.now(), messages: [] });

export async function all() {
  const found = await run("readonly", (store) => store.getAll());
  return found.sort((a, b) => b.changed - a.changed);
}

export const load = (id) => run("readonly", (store) => store.get(id));

export async function save(conversation) {
  conversation.changed = Date.now();
  const first = conversation.messages.find((message) => message.role === "user");
  conversation.title = (first?.text || (first?.pictures.length ? "A picture" : "")).slice(0, 80);
  await run("readwrite", (store) => store.put(structuredClone(conversation)));
  channel.postMessage(conversation.id);
}

export async function remove(id) {
  await run("readwrite", (store) => store.delete(id));
  channel.postMessage(id);
}

// Calls back with the id of a conversation that another tab changed.
export const onChange = (callback) => { channel.onmessage = (event) => callback(event.data); };

export async function exported() { return JSON.stringify({ omma: 1, conversations: await all() }); }

// Takes what `exported` gave; anything else is an error that says so.
export async function importAll(text) {
  let data;
  try { data = JSON.parse(text); } catch { throw new Error("That file is not JSON."); }
  if (data?.omma !== 1 || !Array.isArray(data.conversations)) throw new Error("That file holds no conversations of omma.");
  const checked = data.conversations.map((conversation) => ({
    id: String(conversation.id), title: "", changed: Number(conversation.changed) || Date.now(),
    messages: (Array.isArray(conversation.messages) ? conversation.messages : []).map((message) => ({
      role: message.role === "assistant" ? "assistant" : "user", text: String(message.text ?? ""),
      pictures: (Array.isArray(message.pictures) ? message.pictures : [])
        .filter((picture) => /^data:image\/[a-z+.-]+;base64,/.test(picture?.url))
        .map((picture) => ({ url: picture.url, name: String(picture.name ?? "picture"), width: Number(picture.width) || 1, height: Number(picture.height) || 1 })),
      boxes: (Array.isArray(message.boxes) ? message.boxes : []).filter((box) => [box?.x1, box?.y1, box?.x2, box?.y2].every(Number.isFinite)),
      facts: String(message.facts ?? ""),
    })),
  }));
  for (const conversation of checked) await save(conversation);
  return checked.length;
}
