// The page: a conversation, its pictures, and what is done with them.

import * as api from "/web/api.js";
import * as camera from "/web/camera.js";
import { markdown } from "/web/markdown.js";
import * as sees from "/web/sees.js";
import * as store from "/web/store.js";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const READ = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff"];
const COLOURS = ["#2f6fed", "#d6336c", "#2b8a3e", "#e8590c", "#7048e8", "#0b7285"];

let conversation = store.newConversation();
let draft = [];
let answering = null;
let settings = JSON.parse(localStorage.getItem("settings") ?? "{}");
let model = "";

function make(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function button(text, action) {
  const made = make("button", "", text);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

const say = (text) => { $("status").textContent = text; };

// --- pictures

async function readPicture(file) {
  if (!file.type.startsWith("image/")) throw new Error(`${file.name} is no picture.`);
  const bitmap = await createImageBitmap(file).catch(() => { throw new Error(`${file.name} cannot be read.`); });
  let blob = file;
  if (!READ.includes(file.type)) {
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    blob = await canvas.convertToBlob({ type: "image/png" });
  }
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(`${file.name} cannot be read.`));
    reader.readAsDataURL(blob);
  });
  return { url, name: file.name || "picture", width: bitmap.width, height: bitmap.height };
}

async function addPictures(files) {
  for (const file of files) {
    try {
      draft.push(await readPicture(file));
      say("");
    } catch (error) { say(error.message); }
  }
  showDraft();
}

function showDraft() {
  $("attached").replaceChildren(...draft.map((picture, index) => {
    const remove = button("✕", () => { draft.splice(index, 1); showDraft(); });
    remove.setAttribute("aria-label", `Remove ${picture.name}`);
    return make("div", "picture", image(picture), remove);
  }));
  refreshSees();
}

function image(picture) {
  const element = make("img");
  Object.assign(element, { src: picture.url, alt: picture.name });
  return element;
}

// A picture with the boxes that an answer holds.
function boxed(picture, boxes) {
  const made = make("div", "picture", image(picture));
  if (!boxes.length) return made;
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", `0 0 ${picture.width} ${picture.height}`);
  drawing.setAttribute("preserveAspectRatio", "none");
  boxes.forEach((box, index) => {
    const colour = COLOURS[index % COLOURS.length];
    const rectangle = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({
      x: box.x1, y: box.y1, width: Math.max(0, box.x2 - box.x1), height: Math.max(0, box.y2 - box.y1),
      class: "box", stroke: colour,
    })) rectangle.setAttribute(name, value);
    drawing.append(rectangle);
    if (!box.label) return;
    const top = box.y1 / picture.height;
    const tag = make("span", top < 0.08 ? "tag inside" : "tag", box.label);
    Object.assign(tag.style, { left: `${100 * box.x1 / picture.width}%`, top: `${100 * top}%`, background: colour });
    made.append(tag);
  });
  made.append(drawing);
  return made;
}

// --- the conversation

function articleOf(message, index) {
  const article = make("article", message.role);
  article.append(make("h2", "", message.role === "user" ? "You" : "omma"));
  if (message.role === "user") {
    if (message.pictures.length) {
      // The boxes of the answer that follows count the pictures from the beginning.
      const boxes = conversation.messages[index + 1]?.boxes ?? [];
      const before = conversation.messages.slice(0, index).reduce((count, earlier) => count + earlier.pictures.length, 0);
      article.append(make("div", "pictures", ...message.pictures.map((picture, number) =>
        boxed(picture, boxes.filter((box) => box.image === undefined || box.image === before + number)))));
    }
    if (message.text) article.append(make("div", "words", message.text));
    article.append(make("div", "tools", button("Edit", () => edit(article, index))));
    return article;
  }
  const answer = make("div", "answer");
  answer.append(markdown(message.text));
  if (message.failed) answer.append(make("p", "error", message.failed));
  const isLast = index === conversation.messages.length - 1;
  if (answering && isLast) answer.classList.add("waiting");
  article.append(answer);
  if (!(answering && isLast)) {
    const tools = make("div", "tools", button("Copy", () => navigator.clipboard.writeText(message.text)));
    if (isLast) tools.append(button("Regenerate", () => regenerate(index)));
    tools.append(make("span", "facts", message.facts));
    article.append(tools);
  }
  return article;
}

function show() {
  const log = $("log");
  if (!conversation.messages.length) {
    const hint = make("p", "", "Drop a picture anywhere, paste one, or choose one below.");
    log.replaceChildren(make("div", "empty", make("h1", "", "Ask about a picture"), hint));
  } else {
    log.replaceChildren(...conversation.messages.map(articleOf));
  }
  log.scrollTop = log.scrollHeight;
  const send = $("send");
  send.textContent = answering ? "Stop" : "Send";
  send.classList.toggle("stop", !!answering);
  send.setAttribute("aria-label", answering ? "Stop the answer" : "Send");
}

// Shows the answer as far as it is, without moving a reader who scrolled up.
function showLast() {
  const log = $("log"), follows = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  const index = conversation.messages.length - 1;
  log.lastElementChild?.replaceWith(articleOf(conversation.messages[index], index));
  if (follows) log.scrollTop = log.scrollHeight;
}

async function showList() {
  const all = await store.all();
  $("conversations").replaceChildren(...all.map((entry) => {
    const remove = button("✕", async () => {
      await store.remove(entry.id);
      if (entry.id === conversation.id) open(store.newConversation());
      showList();
    });
    remove.className = "icon";
    remove.setAttribute("aria-label", `Delete ${entry.title}`);
    const item = make("li", "", button(entry.title || "…", () => open(entry)), remove);
    if (entry.id === conversation.id) item.setAttribute("aria-current", "true");
    return item;
  }));
}

function open(next) {
  answering?.abort();
  answering = null;
  conversation = next;
  location.hash = next.messages.length ? next.id : "";
  $("side").classList.remove("open");
  show();
  showList();
  refreshSees();
  $("question").focus();
}

async function answer() {
  const asked = conversation, message = { role: "assistant", text: "", pictures: [], boxes: [], facts: "" };
  const request = { model, messages: api.apiMessages(asked.messages, settings.system) };
  for (const name of ["temperature", "top_p", "max_completion_tokens", "seed"]) {
    if (settings[name] !== undefined) request[name] = settings[name];
  }
  asked.messages.push(message);
  const control = answering = new AbortController();
  const start = performance.now();
  let first, tokens = 0, usage, frame = 0;
  show();
  say("Reading…");
  try {
    await api.chat(request, control.signal, (chunk) => {
      usage = chunk.usage ?? usage;
      const choice = chunk.choices[0];
      if (!choice) return;
      if (choice.delta.content) {
        first ??= performance.now();
        tokens++;
        message.text += choice.delta.content;
        say("");
      }
      if (choice.delta.boxes) message.boxes = choice.delta.boxes;
      if (asked === conversation && !frame) frame = requestAnimationFrame(() => { frame = 0; showLast(); });
    });
  } catch (error) {
    if (error.name !== "AbortError") message.failed = error.message;
  }
  cancelAnimationFrame(frame);
  const end = performance.now();
  if (first) {
    const count = usage?.completion_tokens ?? tokens, seconds = (end - first) / 1000;
    message.facts = `${count} tokens, first after ${((first - start) / 1000).toFixed(2)} s`
      + (count > 1 && seconds > 0.005 ? `, ${((count - 1) / seconds).toFixed(1)} tokens/s` : "");
  }
  if (answering === control) answering = null;
  if (!message.text && !message.failed && control.signal.aborted) asked.messages.pop();
  await store.save(asked);
  say("");
  if (asked === conversation) {
    location.hash = asked.id;
    show();
    showList();
  }
}

async function send() {
  const text = $("question").value.trim();
  if (answering) { answering.abort(); return; }
  if (!text && !draft.length) return;
  conversation.messages.push({ role: "user", text, pictures: draft });
  draft = [];
  $("question").value = "";
  grow();
  showDraft();
  await store.save(conversation);
  await answer();
}

function regenerate(index) {
  if (answering) return;
  conversation.messages.splice(index);
  answer();
}

function edit(article, index) {
  if (answering) return;
  const text = make("textarea");
  text.value = conversation.messages[index].text;
  text.setAttribute("aria-label", "Edit the question");
  const save = button("Ask again", () => {
    conversation.messages[index].text = text.value.trim();
    conversation.messages.splice(index + 1);
    answer();
  });
  save.className = "send";
  const form = make("div", "edit", text, make("div", "buttons", button("Cancel", show), save));
  article.querySelector(".words")?.replaceWith(form);
  if (!form.isConnected) article.append(form);
  article.querySelector(".tools").remove();
  text.focus();
}

// --- the panel

const refreshSees = (() => {
  let timer;
  return () => {
    clearTimeout(timer);
    if ($("sees").hidden) return;
    timer = setTimeout(() => sees.show($("sees-body"), conversation,
      { text: $("question").value.trim(), pictures: draft }, settings.system), 250);
  };
})();

function toggleSees(shown) {
  $("sees").hidden = !shown;
  $("see").setAttribute("aria-expanded", shown);
  refreshSees();
}

// --- events

function grow() {
  const question = $("question");
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
}

$("composer").addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("question").addEventListener("input", () => { grow(); refreshSees(); });
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); if (!answering) send(); }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if ($("side").classList.contains("open")) $("side").classList.remove("open");
  else if (answering) answering.abort();
});
$("attach").addEventListener("click", () => $("files").click());
camera.prepare((file) => addPictures([file]), say);
for (const id of ["files", "photo"]) {
  $(id).addEventListener("change", (event) => { addPictures([...event.target.files]); event.target.value = ""; });
}
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) { event.preventDefault(); addPictures(files); }
});
document.addEventListener("dragover", (event) => {
  if (event.dataTransfer.types.includes("Files")) { event.preventDefault(); $("drop").hidden = false; }
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").hidden = true; });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").hidden = true;
  addPictures([...event.dataTransfer.files]);
});
$("new").addEventListener("click", () => open(store.newConversation()));
$("open-side").addEventListener("click", () => { $("side").classList.add("open"); $("new").focus(); });
$("close-side").addEventListener("click", () => $("side").classList.remove("open"));
$("see").addEventListener("click", () => toggleSees($("sees").hidden));
$("close-sees").addEventListener("click", () => toggleSees(false));

const fields = $("settings").querySelectorAll("[name]");
$("open-settings").addEventListener("click", () => {
  for (const field of fields) field.value = settings[field.name] ?? "";
  $("settings").showModal();
});
$("settings").addEventListener("close", () => {
  if ($("settings").returnValue === "") return;
  settings = {};
  if ($("settings").returnValue === "save") {
    for (const field of fields) {
      if (field.value !== "") settings[field.name] = field.type === "number" ? Number(field.value) : field.value;
    }
  }
  localStorage.setItem("settings", JSON.stringify(settings));
  refreshSees();
});

$("export").addEventListener("click", async () => {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([await store.exported()], { type: "application/json" }));
  link.download = "omma-conversations.json";
  link.click();
  URL.revokeObjectURL(link.href);
});
$("import").addEventListener("click", () => $("import-file").click());
$("import-file").addEventListener("change", async (event) => {
  try {
    say(`${await store.importAll(await event.target.files[0].text())} conversations came in.`);
    showList();
  } catch (error) { say(error.message); }
  event.target.value = "";
});
store.onChange(async (id) => {
  showList();
  if (id !== conversation.id || answering) return;
  const changed = await store.load(id);
  if (changed) { conversation = changed; show(); }
});

try {
  const found = await api.model();
  model = found.id;
  const size = found.parameters >= 1e9 ? `${(found.parameters / 1e9).toFixed(1)}B` : `${Math.round(found.parameters / 1e6)}M`;
  $("model").replaceChildren(found.id, " ", make("small", "", `${size} parameters, ${found.device}`));
  document.title = `${found.id} · omma`;
} catch (error) { say(error.message); }
const saved = location.hash.length > 1 ? await store.load(location.hash.slice(1)) : undefined;
open(saved ?? conversation);
