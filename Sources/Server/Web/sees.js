// The panel that shows what the model gets: pictures cut into tokens, counts, the exact prompt.

import { apiMessages, tokenize } from "/web/api.js";

const SVG = "http://www.w3.org/2000/svg";
let request;

function numbers(entries) {
  const list = document.createElement("dl");
  list.className = "numbers";
  for (const [name, value] of entries) {
    const term = document.createElement("dt"), number = document.createElement("dd");
    term.textContent = name;
    number.textContent = value;
    list.append(term, number);
  }
  return list;
}

function heading(text) {
  const made = document.createElement("h3");
  made.textContent = text;
  return made;
}

// A picture with the borders of its tokens, or of its tiles.
function picture(source, image) {
  const made = document.createElement("div");
  made.className = "picture";
  const element = document.createElement("img");
  Object.assign(element, { src: source.url, alt: source.name });
  let down, across;
  if (image.tiles) {
    [down, across] = [image.tiles.rows, image.tiles.columns];
  } else {
    const [, rows, columns] = image.grid, merge = Math.round(Math.sqrt(rows * columns / image.tokens)) || 1;
    [down, across] = [rows / merge, columns / merge];
  }
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", `0 0 ${across} ${down}`);
  drawing.setAttribute("preserveAspectRatio", "none");
  let path = "";
  for (let x = 1; x < across; x++) path += `M${x} 0V${down}`;
  for (let y = 1; y < down; y++) path += `M0 ${y}H${across}`;
  const grid = document.createElementNS(SVG, "path");
  grid.setAttribute("d", path);
  grid.setAttribute("class", "grid");
  drawing.append(grid);
  made.append(element, drawing);
  return made;
}

// How a picture is cut, in words.
const cut = (image) => image.tiles
  ? `${image.tiles.columns} × ${image.tiles.rows} tiles${image.tiles.has_thumbnail ? " and the whole" : ""}`
  : `${image.grid[2]} × ${image.grid[1]} patches`;

export async function show(body, conversation, draft, system) {
  request?.abort();
  request = new AbortController();
  const messages = [...conversation.messages];
  while (messages.at(-1)?.role === "assistant") messages.pop();
  if (draft.text || draft.pictures.length) messages.push({ role: "user", ...draft });
  if (!messages.length) {
    body.textContent = "Write a question or add a picture: here stands what the model gets.";
    return;
  }
  let seen;
  try { seen = await tokenize(apiMessages(messages, system), request.signal); } catch (error) {
    if (error.name !== "AbortError") body.textContent = error.message;
    return;
  }
  const prompt = document.createElement("pre");
  for (const piece of seen.prompt.split(/(<\|[a-z_]+\|>)/)) {
    const mark = /^<\|[a-z_]+\|>$/.test(piece) ? document.createElement("mark") : document.createElement("span");
    mark.textContent = piece;
    prompt.append(mark);
  }
  const sources = messages.flatMap((message) => message.pictures);
  body.replaceChildren(
    numbers([["Tokens", seen.count], ["of pictures", seen.image_tokens], ["the model takes", seen.max_model_len]]),
    ...seen.images.flatMap((image, index) => [
      heading(`Picture ${index + 1}: ${image.width} × ${image.height} pixels, ${cut(image)}, ${image.tokens} tokens`),
      picture(sources[index], image),
    ]),
    heading("The prompt (pictures stand at their marks)"), prompt);
}
