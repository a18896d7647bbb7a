// What the pages share: elements, words, requests. Data is put in with textContent, never as markup.

export const $ = (id) => document.getElementById(id);
export const kind = document.body.dataset.kind;
export const WORDS = { accept: "accepted", keep: "kept", class: "class", none: "none of these", exclude: "excluded", unsure: "unsure" };

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((c) => c !== null && c !== undefined));
  return element;
}

export const percent = (share) => {
  if (share >= 0.995) return ">99%";
  if (share < 0.005) return "<1%";
  return `${Math.round(100 * share)}%`;
};
export const whole = (x) => Math.round(x).toLocaleString("en");
export const unique = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");

export async function get(path, values = {}) {
  const answer = await fetch(`${path}?${new URLSearchParams(values)}`);
  if (!answer.ok) throw new Error((await answer.text()).slice(0, 200));
  return answer.json();
}

export const post = (path, body) => fetch(path, {
  method: "POST", headers: { "Content-Type": "application/json", "X-Softfold": "1" }, body: JSON.stringify(body),
});

export function say(text) { $("said").textContent = text; }
export function problem(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text || "";
}

// The reviewer's name stays in this browser.
const NAME = "softfold-reviewer";
export const keepName = (name) => localStorage.setItem(NAME, name);
export const aboutRun = () => {
  const kept = localStorage.getItem(NAME);
  return get("/api/run", kept ? { me: kept } : {});
};

// An item as a person sees it: `item` is what the server says, undefined before it came.
export function look(row, path, item, given, version) {
  if (kind === "image") {
    const alt = item ? `${item.item}: given ${given}` : "";
    return make("img", { src: `${path}/${row}?v=${version}`, alt, decoding: "async", draggable: "false" });
  }
  if (!item) return make("div", { class: "said" }, "…");
  if (item.text !== null) return make("div", { class: "said" }, item.text);
  if (item.columns !== null) {
    const list = make("dl", { class: "said" });
    for (const [name, value] of item.columns) list.append(make("dt", {}, name), make("dd", {}, value));
    return list;
  }
  return make("div", { class: "said" }, item.item);
}
