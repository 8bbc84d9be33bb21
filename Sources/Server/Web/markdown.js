// Markdown as models write it, as elements: never as markup, so that an answer cannot bring scripts.

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

// Bold, emphasis, code and links inside a line.
function inline(text) {
  const parts = [];
  const pattern = /(`+)(.+?)\1|\*\*(.+?)\*\*|__(.+?)__|\*([^*\s][^*]*)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/g;
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(text.slice(end, match.index));
    end = match.index + match[0].length;
    const [, , code, bold, bold2, emphasis, label, url] = match;
    if (code !== undefined) parts.push(element("code", code));
    else if (bold ?? bold2) parts.push(element("strong", ...inline(bold ?? bold2)));
    else if (emphasis) parts.push(element("em", ...inline(emphasis)));
    else {
      const link = element("a", label);
      Object.assign(link, { href: url, target: "_blank", rel: "noopener noreferrer" });
      parts.push(link);
    }
  }
  parts.push(text.slice(end));
  return parts.filter((part) => part !== "");
}

const lines = (text) => text.split("\n").flatMap((line, index) => index ? [element("br"), ...inline(line)] : inline(line));
const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

export function markdown(text) {
  const result = document.createDocumentFragment();
  const rows = text.split("\n");
  let index = 0;
  const take = (test) => {
    const taken = [];
    while (index < rows.length && test(rows[index])) taken.push(rows[index++]);
    return taken;
  };
  while (index < rows.length) {
    const row = rows[index];
    const fence = row.match(/^\s*(```+|~~~+)(.*)$/);
    if (fence) {
      index++;
      const code = element("code", take((line) => !line.trim().startsWith(fence[1])).join("\n"));
      index++;
      result.append(element("pre", code));
    } else if (/^#{1,6} /.test(row)) {
      index++;
      const level = Math.min(6, row.indexOf(" ") + 2);
      result.append(element(`h${level}`, ...inline(row.replace(/^#+ /, ""))));
    } else if (/^\s*([-*+]|\d+[.)]) /.test(row)) {
      const ordered = /^\s*\d/.test(row);
      const items = take((line) => /^\s*([-*+]|\d+[.)]) /.test(line));
      const list = element(ordered ? "ol" : "ul", ...items.map((item) => element("li", ...inline(item.replace(/^\s*([-*+]|\d+[.)]) /, "")))));
      if (ordered) list.start = parseInt(items[0], 10);
      result.append(list);
    } else if (/^\s*>/.test(row)) {
      const quoted = take((line) => /^\s*>/.test(line)).map((line) => line.replace(/^\s*> ?/, "")).join("\n");
      result.append(element("blockquote", ...lines(quoted)));
    } else if (row.includes("|") && /^\s*\|?[\s:|-]+\|[\s:|-]*$/.test(rows[index + 1] ?? "")) {
      const head = cells(rows[index]);
      index += 2;
      const body = take((line) => line.includes("|")).map(cells);
      result.append(element("table",
        element("thead", element("tr", ...head.map((cell) => element("th", ...inline(cell))))),
        element("tbody", ...body.map((line) => element("tr", ...line.map((cell) => element("td", ...inline(cell))))))));
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(row)) {
      index++;
      result.append(element("hr"));
    } else if (row.trim() === "") {
      index++;
    } else {
      const first = rows[index++];
      const rest = take((line) => line.trim() !== "" && !/^(\s*```|\s*~~~|#{1,6} |\s*>|\s*([-*+]|\d+[.)]) )/.test(line));
      result.append(element("p", ...lines([first, ...rest].join("\n"))));
    }
  }
  return result;
}
